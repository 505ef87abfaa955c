package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// someLog is a log of so many lines, of which every fourth tells of an attack. Lines are of all lengths.
func someLog(lines int) string {
	var b strings.Builder
	for i := range lines {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "Nov 22 05:%02d:%02d web1 sshd[%d]: Invalid user %s from 2001:db8::%x port 40022\n", i/60%60, i%60, i, strings.Repeat("x", i%97), i%5000)
		case 1:
			fmt.Fprintf(&b, "Feb 29 05:40:00 web1 CRON[%d]: %s\n", i, strings.Repeat("y", i%397))
		case 2:
			b.WriteString("\n")
		default:
			fmt.Fprintf(&b, "2026-11-22T05:40:00.%06d+01:00 web1 app: nothing %d\r\n", i, i)
		}
	}
	return b.String()
}

// xzLog is `xz` of oneLine.
const (
	oneLine = "Nov 22 05:40:00 web1 sshd[123]: Invalid user x from 203.0.113.5 port 40022\n"
	xzLog   = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQBKTm92IDIyIDA1OjQwOjAwIHdlYjEgc3NoZFsxMjNdOiBJbnZhbGlkIHVzZXIgeCBmcm9tIDIwMy4wLjExMy41IHBvcnQgNDAwMjIKAAC7y3zI5VkBmwABY0tXFViPH7bzfQEAAAAABFla"
)

func pack(t *testing.T, form, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch form {
	case "plain":
		return text
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	case "xz":
		one, err := base64.StdEncoding.DecodeString(xzLog)
		if err != nil || text != oneLine {
			t.Fatalf("there is no such text packed by xz: %v", err)
		}
		return string(one)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// child is tattled as a process of its own.
func child(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), childMark+"=1")
	return cmd
}

// A packed log gives what it gives unpacked, by any name, by standard input, and when several were put together.
func TestMatchPacked(t *testing.T) {
	for _, form := range []string{"plain", "gzip", "zstd", "xz"} {
		packed := pack(t, form, oneLine)
		path := write(t, t.TempDir(), "auth.log.old", packed+packed)
		for _, args := range [][]string{{"-"}, {path}} {
			code, out, errOut := invoke(t, packed+packed, append([]string{"match"}, args...)...)
			if code != exitOK || errOut != "" || strings.Count(out, "203.0.113.5") != 2 || !strings.Contains(out, "\n2 ") {
				t.Errorf("%s %v: exit %d, %q, %q", form, args, code, errOut, out)
			}
		}
	}
}

// What can be read of a broken file is read, and then it is said what is wrong.
func TestMatchBroken(t *testing.T) {
	text := someLog(5000)
	for _, form := range []string{"gzip", "zstd"} {
		packed := pack(t, form, text)
		damaged := []byte(packed)
		damaged[len(damaged)/2] ^= 0xff
		for name, test := range map[string]struct{ in, want string }{
			"truncated":    {packed[:len(packed)-10], "read -: the " + form + " data end too early"},
			"only a magic": {packed[:4], "read -: the " + form + " data end too early"},
			"damaged":      {string(damaged), "read -: the " + form + " data are damaged"},
			"garbage":      {packed + "garbage", "read -: the " + form + " data"},
		} {
			code, out, errOut := invoke(t, test.in, "match", "-")
			if code != exitFailure || !strings.Contains(errOut, test.want) {
				t.Errorf("%s, %s: exit %d, %q", form, name, code, errOut)
			}
			if found := strings.Count(out, "\n"); (name == "truncated" || name == "garbage") && found < 500 {
				t.Errorf("%s, %s: only %d lines of output", form, name, found)
			}
		}
	}
	for i := 6; i < len(pack(t, "xz", oneLine)); i += 9 {
		if code, _, errOut := invoke(t, pack(t, "xz", oneLine)[:i], "match", "-"); code != exitFailure || !strings.Contains(errOut, "the xz data end too early") {
			t.Errorf("xz, %d bytes: exit %d, %q", i, code, errOut)
		}
	}
}

// A window larger than the bound is refused, whatever there is in it.
func TestMatchWindow(t *testing.T) {
	// The frame's header asks for a window of 2 GiB (RFC 8878, section 3.1.1.1.2); then comes a block of a byte, many times.
	frame := "\x28\xb5\x2f\xfd" + "\x00" + "\xa8" + strings.Repeat("\x02\x00\x10x", 100)
	code, _, errOut := invoke(t, frame, "match", "-")
	if code != exitFailure || !strings.Contains(errOut, "need too much memory") {
		t.Errorf("exit %d, %q", code, errOut)
	}
}

// However many goroutines there are, the output is the same, also where lines number in thousands and one is very long.
func TestMatchJobs(t *testing.T) {
	text := someLog(8_000) + strings.Repeat("z", 3<<20) + "\n" + strings.Repeat("\x00", 1<<20) + oneLine + someLog(8_000) + "no end"
	path := write(t, t.TempDir(), "big.log", text)
	for _, mode := range []string{"--json", "--summary", "--timezone=UTC"} {
		var want string
		for _, jobs := range []string{"1", "2", "3", "16"} {
			code, out, errOut := invoke(t, text, "match", mode, "--jobs", jobs, path, "-", path)
			if code != exitOK || errOut != "" {
				t.Fatalf("%s --jobs %s: exit %d, %q", mode, jobs, code, errOut)
			}
			out, _, _ = strings.Cut(out, "\nseconds")
			if want == "" {
				want = out
			}
			if out != want || want == "" {
				t.Errorf("%s --jobs %s: %d bytes of output that are not the %d of --jobs 1", mode, jobs, len(out), len(want))
			}
		}
	}
	if code, _, errOut := invoke(t, "", "match", "--jobs", "-1", "-"); code != exitUsage || !strings.Contains(errOut, "--jobs: -1") {
		t.Errorf("--jobs -1: exit %d, %q", code, errOut)
	}
}

// endless is a log that never ends; ctx ends when a part of it was read.
type endless struct {
	text   string
	read   int
	cancel context.CancelFunc
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.read%len(e.text):])
	if e.read += n; e.read > 1<<20 {
		e.cancel()
	}
	return n, nil
}

// An interrupt ends the reading, and what was found is written.
func TestMatchInterrupted(t *testing.T) {
	for _, jobs := range []string{"1", "4"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var out, errOut bytes.Buffer
		in := &endless{strings.Repeat(oneLine, 100), 0, cancel}
		code := run(ctx, []string{"match", "--summary", "--jobs", jobs, "-"}, in, &out, &errOut)
		lines := in.read / len(oneLine)
		if code != exitFailure || !strings.Contains(errOut.String(), fmt.Sprintf("interrupted after %d lines", lines)) || !strings.Contains(out.String(), fmt.Sprintf("matched           %d\n", lines)) {
			t.Errorf("--jobs %s: exit %d, %q, %q, want %d lines", jobs, code, &errOut, &out, lines)
		}
	}
}

// Whoever writes line by line reads findings line by line, and an interrupt is not kept waiting by a silent pipe.
func TestMatchPipe(t *testing.T) {
	for _, jobs := range []string{"1", "4"} {
		cmd := child(t, "match", "--jobs", jobs, "-")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1000)
		for i := range 10 {
			if _, err := io.WriteString(in, oneLine); err != nil {
				t.Fatal(err)
			}
			n, err := out.Read(answer)
			if want := fmt.Sprintf("%d ", i+1); err != nil || !strings.HasPrefix(string(answer[:n]), want) {
				t.Fatalf("--jobs %s: the answer to line %d is %q, %v", jobs, i+1, answer[:n], err)
			}
		}
		began := time.Now()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailure || time.Since(began) > 5*time.Second {
			t.Errorf("--jobs %s: %v after %v", jobs, err, time.Since(began))
		}
	}
}

// Memory does not grow with a log, nor with how small it was packed.
func TestMatchMemory(t *testing.T) {
	block := strings.Repeat("Nov 22 05:40:00 web1 sshd[123]: Invalid user x from 203.0.113.5 port 40022 and so on and so on\n", 20_000)
	packed := pack(t, "gzip", block)
	var peak [2]int64 // KiB
	for i, blocks := range []int{1, 25} {
		path := write(t, t.TempDir(), "big.log.gz", strings.Repeat(packed, blocks))
		cmd := child(t, "match", "--summary", path)
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), fmt.Sprintf("lines     %d\n", 20_000*blocks)) {
			t.Fatalf("%v, %q", err, out)
		}
		peak[i] = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	}
	if peak[1] > peak[0]+16<<10 {
		t.Errorf("2 MB of a log took %d KiB of memory, 50 MB took %d KiB", peak[0], peak[1])
	}
}
