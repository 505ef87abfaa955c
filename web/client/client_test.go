package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// serve answers on a socket, and returns a client of it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	c := New(path)
	t.Cleanup(c.Close)
	return c
}

// Events are handed over one by one, in whatever pieces they come, and what was skipped is said.
func TestFollow(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); r.URL.Path != "/events" || q.Get("after") != "7" || q.Get("kind") != "ban" {
			t.Errorf("asked for %s", r.URL)
		}
		for _, piece := range []string{"retry: 2000\n\n", "event: status\ndata: {\"x\":1}\n\nevent: ev", "ent\nid: 8\ndata: {\"seq\":8}\n", "\n:\n\nevent: skipped\nid: 9\ndata: {\"skipped\":4}\n\n",
			"event: event\nid: 10\ndata: {\"seq\":10}\n\n"} {
			fmt.Fprint(w, piece)
			w.(http.Flusher).Flush()
		}
	})
	var got []string
	err := c.Follow(t.Context(), 7, url.Values{"kind": {"ban"}}, func(e []byte) error { got = append(got, string(e)); return nil },
		func(n uint64) { got = append(got, fmt.Sprint("skipped ", n)) })
	var gone *Unreachable
	if want := []string{`{"seq":8}`, "skipped 4", `{"seq":10}`}; !slices.Equal(got, want) || !errors.As(err, &gone) {
		t.Errorf("got %q, want %q (%v)", got, want, err)
	}
	stop := errors.New("enough")
	if err := c.Follow(t.Context(), 7, url.Values{"kind": {"ban"}}, func([]byte) error { return stop }, func(uint64) {}); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// An answer that is too long, is cut off, never comes, or is of another program is an error in plain words, and harmless.
func TestBadAnswers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"cannot be read": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"too long":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", maxAnswer+1)) },
		"cannot be asked": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "x")
		},
		"does not respond": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		`a\x1b`: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_ = json.NewEncoder(w).Encode(map[string]string{"detail": "a\x1b"})
		},
		"503": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
		},
	} {
		c := serve(t, h)
		patience := 20 * time.Second // of a busy machine
		if name == "does not respond" {
			patience = time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var v struct{}
		_, err := c.Read(ctx, "/x", nil, &v)
		cancel()
		if err == nil || !strings.Contains(err.Error(), name) || strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 500 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
