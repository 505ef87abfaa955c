package syslog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	gosyslog "gopkg.in/mcuadros/go-syslog.v2"
	"gopkg.in/mcuadros/go-syslog.v2/format"

	"tattled/receiver"
)

// host is a unix datagram socket, read by go-syslog's Server with our Format. The Server is good at this: the kernel makes
// local senders wait, so that nothing is lost, and no remote peer comes near it.
//
// It is never killed: its Kill closes a channel that its own goroutines may be sending on, which panics. When run ends,
// its two goroutines and its socket stay, waiting, until the process ends; the socket's file is removed, so that senders
// notice.
type host struct {
	r      *Receiver
	server *gosyslog.Server
	file   os.FileInfo // of the socket that we made

	mu      sync.Mutex // held while a datagram is handled
	ctx     context.Context
	handler receiver.Handler
	batcher *batcher
	failed  chan error // capacity 1
	over    bool
}

// newHost binds the socket.
func newHost(r *Receiver) (*host, error) {
	path := r.at.path
	if err := removeStale(path); err != nil {
		return nil, err
	}
	h := &host{r: r, server: gosyslog.NewServer(), batcher: newBatcher(r), failed: make(chan error, 1)}
	h.server.SetFormat(newDatagramFormat(r.loc))
	h.server.SetHandler(h)
	if err := h.server.ListenUnixgram(path); err != nil {
		return nil, err
	}
	mode, _ := r.cfg.mode() // New checked it
	if err := os.Chmod(path, mode); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	h.file = info
	return h, nil
}

// removeStale removes the socket that an earlier process left at path. It refuses where another one still listens, and
// where something lies that is no socket.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there already and is no socket", path)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		c.Close()
		return fmt.Errorf("another process listens on %s", path)
	}
	return os.Remove(path)
}

// run serves until ctx ends or the handler fails.
func (h *host) run(ctx context.Context, handler receiver.Handler) error {
	h.ctx, h.handler = ctx, handler
	h.r.meter.Open.Add(1)
	defer h.r.meter.Open.Add(-1)
	if err := h.server.Boot(); err != nil {
		return err
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-h.failed:
	}
	h.mu.Lock() // waits for the datagram in hand
	h.over = true
	h.mu.Unlock()
	if info, statErr := os.Lstat(h.r.at.path); statErr == nil && os.SameFile(info, h.file) {
		os.Remove(h.r.at.path)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Handle implements go-syslog's Handler. The Server calls it from one goroutine for all datagrams.
func (h *host) Handle(parts format.LogParts, _ int64, _ error) {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		select {} // see host
	}
	defer h.mu.Unlock()
	p := ParsedOf(parts)
	defer p.Free()
	b := h.batcher
	b.begin(time.Now())
	b.bytes += uint64(len(p.Frame))
	err := b.datagram(h.ctx, h.handler, p.Frame, h.r.cfg.trust("unix", netip.Addr{}))
	if err == nil {
		err = b.flush(h.ctx, h.handler)
	}
	if err != nil {
		h.over = true
		h.failed <- err
	}
}
