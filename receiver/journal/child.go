package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// packagedHelper is where the package puts the helper.
const packagedHelper = "/usr/libexec/tattled/tattled-journal"

// Unable is the helper's exit status when it can never read a journal on this system: it was built without cgo, or
// libsystemd is not there. All other faults may pass.
const Unable = 1

// child is a program that writes the journal to its standard output.
type child struct {
	cmd    *exec.Cmd
	out    io.Reader
	errors lastWords
}

// findHelper returns the path of the helper, "" if there is none.
func findHelper(configured string) (string, error) {
	if configured != "" {
		path, err := exec.LookPath(configured)
		if err != nil && !errors.Is(err, exec.ErrDot) {
			return "", fmt.Errorf("the journal's helper (sources.journal.helper): %w", err)
		}
		return path, nil
	}
	if own, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(own), "tattled-journal")); err == nil {
			return path, nil
		}
	}
	for _, name := range []string{packagedHelper, "tattled-journal"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", nil
}

// start is where a child begins to read.
type start struct {
	cursor string    // behind this entry
	since  time.Time // without a cursor: with this time; if zero, with what comes
}

// helperArguments are those of tattled-journal.
func (c *Config) helperArguments(from start) []string {
	var args []string
	add := func(name, value string) {
		if value != "" {
			args = append(args, name+"="+value)
		}
	}
	add("--after-cursor", from.cursor)
	add("--since", sinceArgument(from))
	add("--directory", c.Directory)
	add("--namespace", c.Namespace)
	for _, match := range c.matches() {
		add("--match", match)
	}
	return args
}

// journalctlArguments are those of journalctl. It is given --cursor and not --after-cursor: that one lets go of an entry
// when the cursor's own is gone (systemd 252, journalctl.c), and does not say so.
func (c *Config) journalctlArguments(from start) []string {
	var names []string
	for _, f := range Fields() {
		if f != EntryTime { // it is always there
			names = append(names, f.String())
		}
	}
	args := []string{"--output=export", "--follow", "--all", "--quiet", "--no-pager", "--output-fields=" + strings.Join(names, ",")}
	switch {
	case from.cursor != "":
		args = append(args, "--no-tail", "--cursor="+from.cursor)
	case !from.since.IsZero():
		args = append(args, "--no-tail", "--since="+sinceArgument(from))
	default:
		args = append(args, "--lines=0")
	}
	if c.Directory != "" {
		args = append(args, "--directory="+c.Directory)
	}
	if c.Namespace != "" {
		args = append(args, "--namespace="+c.Namespace)
	}
	return append(args, c.matches()...)
}

func sinceArgument(from start) string {
	if from.cursor != "" || from.since.IsZero() {
		return ""
	}
	return fmt.Sprintf("@%d.%06d", from.since.Unix(), from.since.Nanosecond()/1000)
}

// startChild starts a reader. It dies with ctx, and with the thread that started it, which is as good as with us.
func startChild(ctx context.Context, path string, args []string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, path, args...)}
	// None of our secrets is its business.
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GOTRACEBACK=none"}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.cmd.Stderr = &c.errors
	c.cmd.WaitDelay = time.Second
	var err error
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err = c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return c, nil
}

// end kills the child, if it still lives, and says what became of it.
func (c *child) end() error {
	_ = c.cmd.Process.Kill() // it may be gone
	err := c.cmd.Wait()
	if err == nil {
		err = errors.New("it ended")
	}
	return c.why(err)
}

// why adds to an error the child's name and what it said.
func (c *child) why(err error) error {
	name := filepath.Base(c.cmd.Path)
	if words := strings.TrimPrefix(c.errors.String(), name+": "); words != "" {
		return fmt.Errorf("%s: %w: %s", name, err, words)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (c *child) unable() bool {
	return c.cmd.ProcessState != nil && c.cmd.ProcessState.ExitCode() == Unable
}

// lastWords keeps the beginning of what a child says. It speaks only of what fails, and never of entries.
type lastWords struct{ text []byte }

// Write takes all of b and keeps what there is room for.
func (w *lastWords) Write(b []byte) (int, error) {
	const most = 512
	w.text = append(w.text, b[:min(len(b), most-len(w.text))]...)
	return len(b), nil
}

func (w *lastWords) String() string {
	text := strings.TrimSpace(string(bytes.ToValidUTF8(w.text, []byte("?"))))
	return strings.Map(func(r rune) rune {
		if isUnprintable(r) {
			return ' '
		}
		return r
	}, text)
}

// isCursor reports whether text looks like libsystemd's cursors: "s=HEX;i=HEX;b=HEX;m=HEX;t=HEX;x=HEX". What does not would
// keep every child from starting.
func isCursor(text []byte) bool {
	parts := 0
	for part := range bytes.SplitSeq(text, []byte(";")) {
		if len(part) < 3 || len(part) > 2+32 || !isLetter(part[0]) || part[1] != '=' {
			return false
		}
		for _, b := range part[2:] {
			if !isDigit(b) && (b < 'a' || 'f' < b) {
				return false
			}
		}
		parts++
	}
	return 3 <= parts && parts <= 8
}

// microseconds reads a time of the journal. It returns the zero time for what is none.
func microseconds(digits []byte) time.Time {
	const most = 16 // 1e16 us is the year 2286
	if len(digits) == 0 || len(digits) > most {
		return time.Time{}
	}
	var n int64
	for _, b := range digits {
		if !isDigit(b) {
			return time.Time{}
		}
		n = n*10 + int64(b-'0')
	}
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

// isPID reports whether text is a process's number.
func isPID(text []byte) bool {
	for _, b := range text {
		if !isDigit(b) {
			return false
		}
	}
	return 0 < len(text) && len(text) <= 10
}

func pidOf(pid int) []byte { return strconv.AppendInt(nil, int64(pid), 10) }
