package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// The page asks how the daemon is while a reload replaces its configuration: the race detector sees to it that neither
// disturbs the other.
func TestHealthDuringReload(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "t.yaml")
	text := "sources: {syslog: [{listen: \"udp://127.0.0.1:0\"}]}\nstore: {path: " + filepath.Join(dir, "state.db") + "}\nweb: {listen: \"127.0.0.1:0\"}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := New(Options{Config: config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	var asking sync.WaitGroup
	asking.Go(func() {
		for range 20 {
			d.health()
		}
	})
	for range 3 {
		d.reload()
	}
	asking.Wait()
}
