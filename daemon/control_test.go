package daemon

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// What would keep the control socket from being opened is an error of check, at its line.
func TestCheckKnowsTheControlSocket(t *testing.T) {
	dir := t.TempDir()
	file := put(t, dir, "file", "x", 0o600)
	for path, want := range map[string]string{
		filepath.Join(dir, "control.sock"): "",
		"/run/tattled/control.sock":        "",
		"/run/tattled/other.sock":          "",
		filepath.Join(dir, "no", "x.sock"): "/no does not exist: make it",
		file:                               "/file exists and is not a socket: remove it",
		filepath.Join(file, "x.sock"):      "is not a folder",
	} {
		config := put(t, dir, "t.yaml", fmt.Sprintf("sources: {syslog: [{listen: \"tcp://127.0.0.1:0\"}]}\nstore: {path: %s/state.db}\ncontrol: {path: %s}\n", dir, path), 0o644)
		_, err := checkSurroundings(t, config, unitFiles{t.TempDir()})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), "t.yaml:3: control.path: ") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
