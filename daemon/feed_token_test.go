package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The feed's token is read at the start and at a reload, as every secret is; one that is too short is an error at its line, which does not show it.
func TestFeedTokenIsASecret(t *testing.T) {
	dir := t.TempDir()
	token := put(t, dir, "feed.token", "0123456789abcdef0123\n", 0o600)
	more := "web: {listen: \"127.0.0.1:0\", feed_token_file: " + token + "}\n"
	config := put(t, dir, "t.yaml", "sources: {syslog: [{listen: \"tcp://127.0.0.1:0\"}]}\nstore: {path: "+filepath.Join(dir, "state.db")+"}\n"+more, 0o600)
	d, err := New(Options{Config: config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	if got := d.live.Load().feedToken.Reveal(); got != "0123456789abcdef0123" {
		t.Errorf("%d bytes", len(got))
	}
	put(t, dir, "feed.token", "another-token-of-20-bytes\n", 0o600)
	if d.reload(); !d.reloads.ok() || d.live.Load().feedToken.Reveal() != "another-token-of-20-bytes" {
		t.Error("a reload does not take it")
	}
	put(t, dir, "feed.token", "tooshort\n", 0o600)
	if d.reload(); d.reloads.ok() || d.live.Load().feedToken.Reveal() != "another-token-of-20-bytes" {
		t.Error("a reload took one that is too short")
	}
	_, err = checkSurroundings(t, config, unitFiles{t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "t.yaml:3: web.feed_token_file: the token has fewer than 16 bytes") || strings.Contains(err.Error(), "tooshort") {
		t.Errorf("check says %v", err)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	if d.reload(); !d.reloads.ok() || !d.live.Load().feedToken.IsZero() {
		t.Error("a missing file is no token")
	}
}
