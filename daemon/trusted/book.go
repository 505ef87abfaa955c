package trusted

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"tattled/event"
	"tattled/setting"
)

// The bounds of what entries may name.
const (
	MaxNames    = 64      // DNS names of a list, those in its files included
	maxFile     = 1 << 20 // bytes
	maxInFile   = 50_000  // entries
	maxProblems = 5       // faults of a file that are named
)

// Fault is what is wrong with an entry.
type Fault struct {
	Entry   int    // which one
	File    string // where, if it is in a file
	Line    int    // there
	Problem string
}

// Book is a list of entries with what its files have. The files are read again by Poll. Safe for concurrent use.
type Book struct {
	entries []Entry

	mu    sync.Mutex
	files []*file
}

// file is a file as it was read last.
type file struct {
	path          string
	seen, resting stamp // as it was when it was read, and when it was looked at last
	entries       []Entry
	failed        string // why it could not be read again; "" if it could
	since         time.Time
}

// stamp tells versions of a file apart.
type stamp struct {
	at   time.Time
	size int64
	mode fs.FileMode
	ok   bool
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size(), info.Mode(), true}
}

// Open reads what entries name. With a fault there is no Book.
func Open(entries []Entry) (*Book, []Fault) {
	b := &Book{entries: slices.Clone(entries)}
	var faults []Fault
	for i, e := range entries {
		if e.file == "" {
			continue
		}
		f := &file{path: e.file, seen: stampOf(e.file)}
		f.resting = f.seen
		var found []Fault
		f.entries, found = readFile(f.path)
		for j := range found {
			found[j].Entry = i
		}
		faults = append(faults, found...)
		b.files = append(b.files, f)
	}
	if n := len(b.names()); n > MaxNames && len(faults) == 0 {
		faults = append(faults, Fault{Entry: len(entries) - 1, Problem: tooManyNames(n)})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return b, nil
}

func tooManyNames(n int) string {
	return fmt.Sprintf("there are %d DNS names, and at most %d are looked up: write networks instead", n, MaxNames)
}

// Networks returns the networks of the files, those of lists in them included.
func (b *Book) Networks() []netip.Prefix {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []netip.Prefix
	for _, f := range b.files {
		for i := range f.entries {
			if n, ok := f.entries[i].Network(); ok {
				all = append(all, n.Prefixes()...)
			}
		}
	}
	return all
}

// Names returns the DNS names, each once, in order.
func (b *Book) Names() []string {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.names()
}

func (b *Book) names() []string {
	all := namesOf(b.entries)
	for _, f := range b.files {
		all = append(all, namesOf(f.entries)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func namesOf(entries []Entry) []string {
	var all []string
	for _, e := range entries {
		if e.name != "" {
			all = append(all, e.name)
		}
	}
	return all
}

// Poll reads the files that changed and have come to rest since the last Poll, and reports whether any did. What cannot be used is
// a problem, and what was read before stays in effect.
func (b *Book) Poll(now time.Time) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.files {
		at := stampOf(f.path)
		due := at != f.seen && at == f.resting
		f.resting = at
		if !due {
			continue
		}
		f.seen = at
		changed = b.reread(f, now) || changed
	}
	return changed
}

// reread reads f again. It reports whether it could be used.
func (b *Book) reread(f *file, now time.Time) bool {
	entries, faults := readFile(f.path)
	before := f.entries
	if len(faults) == 0 {
		f.entries = entries
		if n := len(b.names()); n > MaxNames {
			f.entries, faults = before, []Fault{{File: f.path, Problem: tooManyNames(n)}}
		}
	}
	if len(faults) == 0 {
		f.failed = ""
		return true
	}
	if f.failed == "" {
		f.since = now
	}
	f.failed = faults[0].Problem
	if faults[0].Line > 0 {
		f.failed = fmt.Sprintf("line %d: %s", faults[0].Line, f.failed)
	}
	return false
}

// Problems says which files cannot be used as they are now.
func (b *Book) Problems() []event.Problem {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []event.Problem
	for _, f := range b.files {
		if f.failed != "" {
			all = append(all, event.Problem{
				What: f.path + ": the file of trusted addresses cannot be used", Cause: f.failed + "; what it had before is still in effect",
				Remedy: "correct the file: it is read again when it changes", Since: f.since,
			})
		}
	}
	return all
}

// readFile reads a file: one entry a line, and comments after a #.
func readFile(path string) ([]Entry, []Fault) {
	fail := func(err error) []Fault {
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err
		}
		return []Fault{{Problem: fmt.Sprintf("%s: %v", path, err)}}
	}
	if info, err := os.Stat(path); err != nil { // before it is opened: a named pipe would hang
		return nil, fail(err)
	} else if !info.Mode().IsRegular() {
		return nil, fail(errors.New("it is not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fail(err)
	case len(text) > maxFile:
		return nil, fail(fmt.Errorf("larger than %d bytes", maxFile))
	}
	return parse(path, text)
}

func parse(path string, text []byte) (all []Entry, faults []Fault) {
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	lines.Buffer(nil, maxFile+1)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var e Entry
		err := e.UnmarshalText([]byte(line))
		switch {
		case err == nil && e.file != "":
			err = errors.New("a file cannot name another file")
		case err == nil && len(all) == maxInFile:
			return all, append(faults, Fault{File: path, Line: n, Problem: fmt.Sprintf("more than %d entries", maxInFile)})
		}
		if err == nil {
			all = append(all, e)
			continue
		}
		if faults = append(faults, Fault{File: path, Line: n, Problem: setting.Redact(err.Error())}); len(faults) == maxProblems {
			break
		}
	}
	return all, faults
}
