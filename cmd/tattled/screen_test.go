package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tattled/machine"
)

// terminal opens a pseudo-terminal of a width and returns its two ends: what a program writes to, and what a person sees.
func terminal(t *testing.T, width uint16) (program, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		machine.Lacks(t, "no pseudo-terminal here: ", err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return program, person
}

// onTerminal runs a command whose output is a terminal, and returns what a person sees there.
func onTerminal(t *testing.T, width uint16, args ...string) string {
	t.Helper()
	program, person := terminal(t, width)
	seen := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, person) // ends with EIO when the program's end is closed
		seen <- strings.ReplaceAll(b.String(), "\r\n", "\n")
	}()
	code := run(t.Context(), args, strings.NewReader(""), program, program)
	program.Close()
	text := <-seen
	if code != exitOK {
		t.Errorf("%q: exit %d:\n%s", args, code, text)
	}
	return text
}

// plainText takes the colours away.
func plainText(text string) string {
	for _, style := range []string{bold, dim, red, yellow, "0"} {
		text = strings.ReplaceAll(text, "\x1b["+style+"m", "")
	}
	return text
}

const screenLine = explainHeader + "Failed password for root from 45.148.10.1 port 40022 ssh3"

// On a terminal help and explanations fit it, and have colour unless that is unwanted; elsewhere they have neither.
func TestOutputFitsTheTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	commands := [][]string{
		{"--help"}, {"run", "--help"}, {"match", "--help"}, {"explain", "--help"}, {"import", "fail2ban", "--help"},
		{"explain", screenLine}, {"explain", strings.Replace(screenLine, "ssh3", "ssh2", 1)}, {"explain", explainHeader + "Invalid user x from " + strings.Repeat("y", 300) + " port 1"},
	}
	for _, args := range commands {
		for _, width := range []int{60, 80, 100} {
			text := onTerminal(t, uint16(width), args...)
			if !strings.Contains(text, "\x1b[") {
				t.Errorf("%q on a terminal has no colour", args)
			}
			example := false
			for line := range strings.SplitSeq(plainText(text), "\n") {
				example = line == "Examples:" || example && line != ""
				// A command to copy and a word that is too long are not broken.
				if n := utf8.RuneCountInString(line); n > width && !example && strings.Count(strings.TrimSpace(line), " ") > 1 {
					t.Errorf("%q: %d characters in %d: %s", args, n, width, line)
				}
			}
		}
		code, out, errOut := invoke(t, "", args...)
		if code != exitOK || errOut != "" || strings.Contains(out, "\x1b") {
			t.Errorf("%q into a pipe: exit %d, colour %v, %s", args, code, strings.Contains(out, "\x1b"), errOut)
		}
		if strings.Fields(plainText(onTerminal(t, 80, args...)))[0] != strings.Fields(out)[0] {
			t.Errorf("%q says something else on a terminal", args)
		}
	}
	t.Setenv("NO_COLOR", "1")
	if text := onTerminal(t, 80, "explain", screenLine); strings.Contains(text, "\x1b") {
		t.Errorf("NO_COLOR is not obeyed: %q", text)
	}
}

func TestWrap(t *testing.T) {
	s := screen{width: 20}
	for text, want := range map[string]string{
		"":                                    "",
		"short":                               "short",
		"exactly twenty chars":                "exactly twenty chars",
		"exactly twenty charsX":               "exactly twenty\n  charsX",
		"one aVeryLongWordThatDoesNotFit two": "one\n  aVeryLongWordThatDoesNotFit\n  two",
		"öööööööööö ööööööööö x": "öööööööööö ööööööööö\n  x",
	} {
		if got := s.wrap(text, 0, 2); got != want {
			t.Errorf("%q is wrapped as %q, want %q", text, got, want)
		}
		if got := (screen{}).wrap(text, 0, 2); got != text {
			t.Errorf("%q in a pipe is %q", text, got)
		}
	}
}
