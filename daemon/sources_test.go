package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tattled/event"
)

// The journal and what a syslog daemon writes of it count twice. Nothing is said where that is not known.
func TestDoubleSources(t *testing.T) {
	for _, c := range []struct {
		sources string
		want    int
	}{
		{"{journal: {}, files: [{path: /var/log/auth.log}]}", 1},
		{"{journal: {}, files: [{path: /var/log//../log/auth.log}, {path: /var/log/secure}, {path: '/var/log/ker?.log'}, {path: /var/log/nginx/access.log}]}", 3},
		{"{journal: {}, files: [{path: '/var/log/*.log'}]}", 1},
		{"{journal: {}, files: [{path: '/var/log/nginx/*.log'}, {path: /srv/var/log/auth.log}]}", 0},
		{"{files: [{path: /var/log/auth.log}]}", 0},
		{"{journal: {directory: /var/log/journal/remote}, files: [{path: /var/log/auth.log}]}", 0},
		{"{journal: {matches: [_TRANSPORT=kernel]}, files: [{path: /var/log/auth.log}]}", 0},
	} {
		cfg, err := parseConfig("t.yaml", []byte("sources: "+c.sources+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := doubleSources(cfg)
		if len(got) != c.want || c.want > 0 && !strings.Contains(got[0], "counts twice") {
			t.Errorf("%s: %q, want %d", c.sources, got, c.want)
		}
		if all := warnings(cfg); c.want > 0 && !slices.Contains(all, got[0]) {
			t.Errorf("%s: check does not warn: %q", c.sources, all)
		}
	}
}

// A log that two entries reach by different names is a warning of check, and a problem of the daemon.
func TestDoublesAtRunTime(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a.log"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "tattled.yaml")
	text := fmt.Sprintf("sources: {journal: {}, files: [{path: %s}, {path: %s}, {path: /var/log/auth.log}]}\nstore: {path: %s/state.db}\nweb: {listen: '127.0.0.1:0'}\n", path, link, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	checked, err := Check(config, false)
	if err != nil || !slices.ContainsFunc(checked.Warnings, func(w string) bool { return strings.Contains(w, "is the same file as") }) {
		t.Errorf("check: %v, %q", err, checked.Warnings)
	}
	var out bytes.Buffer
	d, err := New(Options{Config: config, Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if problems := d.health().Problems; !slices.ContainsFunc(problems, func(p event.Problem) bool {
		return strings.Contains(p.Cause, "/var/log/auth.log") && strings.Contains(p.Cause, "counts twice") && !p.Since.IsZero()
	}) {
		t.Errorf("problems are %q", problems)
	}
	if n := strings.Count(out.String(), "counts twice"); n != 1 {
		t.Errorf("it is logged %d times:\n%s", n, out.String())
	}
}
