package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The program says where it listens, serves there, and ends when it is told to.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	cmd := command()
	cmd.SetArgs([]string{"--listen", "127.0.0.1:0", "--key", "k"})
	cmd.SetOut(w)
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(line, "listening: ")
	base, _, _ := strings.Cut(rest, " ")
	if !strings.HasPrefix(base, "http://127.0.0.1:") || !strings.HasSuffix(base, "/api/v2/") {
		t.Fatalf("said %q", line)
	}
	resp, err := http.PostForm(base+"report?key=k", map[string][]string{"ip": {"192.0.2.1"}, "categories": {"18"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Wrong arguments are refused with a word about them.
func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"--plan", "gold"}, {"--listen", "256.0.0.1:x"}, {"extra"}, {"--no-such-flag"}} {
		cmd := command()
		cmd.SetArgs(args)
		cmd.SetOut(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
