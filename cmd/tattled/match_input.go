package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"golang.org/x/sys/unix"
)

// logInput is a log that was opened: what is read of it is text.
type logInput struct {
	io.Reader
	written time.Time // when it was last written to; zero if that is not known
	size    int64     // in bytes as they lie on the disk; 0 if that is not known
	raw     *countingReader
	close   []func() error
}

// openLog opens the log of that name; "-" is in. before is called whenever reading is about to wait.
func openLog(ctx context.Context, name string, in io.Reader, before func()) (*logInput, error) {
	l := &logInput{raw: &countingReader{Reader: in}}
	f, _ := in.(*os.File)
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
		l.raw.Reader = f
		l.close = append(l.close, f.Close)
	}
	if f != nil {
		info, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		if info.Mode().IsRegular() {
			l.written, l.size = info.ModTime(), info.Size()
		} else {
			l.raw.Reader = &ctxReader{ctx: ctx, file: f, before: before}
		}
	}
	if err := l.decompress(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name, err), l.Close())
	}
	return l, nil
}

// Close lets go of everything but standard input.
func (l *logInput) Close() error {
	var all []error
	for i := len(l.close) - 1; i >= 0; i-- {
		all = append(all, l.close[i]())
	}
	return errors.Join(all...)
}

// countingReader counts what is read.
type countingReader struct {
	io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// ctxReader reads a pipe or a terminal, and gives up when ctx ends: a read that waits could not be ended otherwise, for a
// file that others share must not be made non-blocking.
type ctxReader struct {
	ctx    context.Context
	file   *os.File
	before func()
}

func (p *ctxReader) Read(b []byte) (int, error) {
	ready, wait := []unix.PollFd{{Fd: int32(p.file.Fd()), Events: unix.POLLIN}}, 0
	for {
		n, err := unix.Poll(ready, wait)
		switch {
		case p.ctx.Err() != nil:
			return 0, p.ctx.Err()
		case n > 0 || err != nil && !errors.Is(err, unix.EINTR):
			return p.file.Read(b)
		case wait == 0:
			p.before()
			wait = 100 // milliseconds: how long an interrupt may go unnoticed
		}
	}
}

// compression is a form in which logs are kept.
type compression struct {
	name, magic string
	open        func(l *logInput, in io.Reader) (io.Reader, error)
}

// Windows are bounded so that no file decides how much memory it takes: to what zstd and xz themselves read without being
// told to (zstd --long=27, xz -9).
const (
	zstdWindow = 128 << 20
	xzWindow   = 64 << 20
)

// compressions are told apart by how they begin, whatever the file is called. Each decoder reads members that follow one
// another as one log, as logrotate's and cat's doing.
func compressions() []compression {
	return []compression{
		{"gzip", "\x1f\x8b", func(_ *logInput, in io.Reader) (io.Reader, error) { return gzip.NewReader(in) }},
		{"xz", "\xfd7zXZ\x00", func(_ *logInput, in io.Reader) (io.Reader, error) { return xz.NewReader(in, xzWindow) }},
		{"zstd", "\x28\xb5\x2f\xfd", func(l *logInput, in io.Reader) (io.Reader, error) {
			d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
			if err == nil {
				l.close = append(l.close, d.IOReadCloser().Close)
			}
			return d, err
		}},
	}
}

// decompress makes l read text, whatever the log is kept in. It reads no more than it must to tell: who writes to a pipe may
// wait for an answer to the first line.
func (l *logInput) decompress() error {
	var head [6]byte
	n := 0
	for _, c := range compressions() {
		for n < len(c.magic) && c.magic[:n] == string(head[:n]) {
			m, err := l.raw.Read(head[n:len(c.magic)])
			n += m
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if m == 0 {
				break
			}
		}
		if string(head[:min(n, len(c.magic))]) == c.magic {
			text, err := c.open(l, io.MultiReader(bytes.NewReader(head[:n]), l.raw))
			u := &unpacked{text, c.name}
			if err != nil {
				return u.explain(err)
			}
			l.Reader = u
			return nil
		}
	}
	l.Reader = io.MultiReader(bytes.NewReader(head[:n]), l.raw)
	return nil
}

// unpacked says in its errors what the data were taken for.
type unpacked struct {
	io.Reader
	form string
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.explain(err)
	}
	return n, err
}

func (u *unpacked) explain(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, xz.ErrBuf):
		return fmt.Errorf("the %s data end too early", u.form)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, xz.ErrMemlimit):
		return fmt.Errorf("the %s data need too much memory: unpack them with %s", u.form, u.form)
	case errors.Is(err, context.Canceled):
		return err
	default:
		return fmt.Errorf("the %s data are damaged: %w", u.form, err)
	}
}
