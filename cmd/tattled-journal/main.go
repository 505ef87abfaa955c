//go:build cgo

// Command tattled-journal reads the systemd journal with libsystemd and writes it to standard output in the journal export
// format (https://systemd.io/JOURNAL_EXPORT_FORMATS), the few fields that something can follow from. tattled starts it as a child:
// libsystemd maps journal files into memory, and a file that is truncated meanwhile kills whoever reads it (SIGBUS). It
// judges nothing and keeps nothing: its parent starts it again after the last position that it knows.
//
// Three things differ from what journalctl writes. Only the last entry of each batch has a __CURSOR, because asking for it
// costs as much as a whole entry; a batch ends after some entries, after some bytes, and whenever there is no more to
// read. And there are records that are not an entry: one with nothing but a __CURSOR says where reading begins, when that is
// the end of the journal; one with __TATTLED_GAP says that entries were lost there. Last,
// the newest entry is not written as long as it has no message: it may be in the middle of being written itself.
//
// It ends when standard output is closed. Exit status: 0 when all is read (--no-follow), 1 if it can never read a journal
// on this system, 2 for a wrong command line, 3 for a fault that may pass.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"tattled/receiver/journal"
)

const (
	wrongUsage = 2
	mayPass    = 3
)

func main() {
	// A journal belongs to one thread for life (sd-journal(3)).
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out *os.File, messages io.Writer) int {
	complain := func(status int, err error) int {
		fmt.Fprintln(messages, "tattled-journal:", err)
		return status
	}
	o, err := parseOptions(args, messages)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return complain(wrongUsage, err)
	}
	r, err := open(o, out)
	if errors.Is(err, errNoLibrary) {
		return complain(journal.Unable, err)
	}
	if err != nil {
		return complain(mayPass, err)
	}
	defer r.journal.Close()
	if err := r.run(); err != nil {
		return complain(mayPass, err)
	}
	return 0
}

// options are the command line.
type options struct {
	after     string
	since     string
	sinceUsec uint64
	directory string
	namespace string
	matches   list
	noFollow  bool
	every     int
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return fmt.Sprint([]string(*l)) }

// Set adds a value.
func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func parseOptions(args []string, messages io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("tattled-journal", flag.ContinueOnError)
	f.SetOutput(messages)
	f.StringVar(&o.after, "after-cursor", "", "read what comes after the entry with this cursor")
	f.StringVar(&o.since, "since", "", "without --after-cursor: read from this time on, as @SECONDS since 1970, perhaps with a fraction (default: what comes from now on; with --no-follow all)")
	f.StringVar(&o.directory, "directory", "", "read the journal files in this folder")
	f.StringVar(&o.namespace, "namespace", "", "read the journal of this namespace")
	f.Var(&o.matches, "match", "read only entries with FIELD=VALUE; may be repeated: the same field means or, different fields mean and")
	f.BoolVar(&o.noFollow, "no-follow", false, "end when everything is read")
	f.IntVar(&o.every, "cursor-every", 512, "entries a batch, at most")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.every < 1 || o.every > 4096:
		return nil, errors.New("--cursor-every must be from 1 to 4096")
	case o.directory != "" && o.namespace != "":
		return nil, errors.New("--directory and --namespace exclude each other")
	}
	if o.since != "" {
		usec, err := parseSeconds(o.since)
		if err != nil {
			return nil, fmt.Errorf("--since: %w", err)
		}
		o.sinceUsec = usec
	}
	return o, nil
}
