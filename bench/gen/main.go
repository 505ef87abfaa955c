// Command gen writes log corpora for measuring what reads logs: the same bytes for the same flags, and a count of what is
// in them.
//
//	gen -kind auth|flood|kern|mixed -format plain|3164|5424|export -n LINES -o FILE [-truth FILE] [-seed 1] [-days 1] [-public]
//
//	auth    half failed logins at sshd, half what else a busy auth.log holds
//	flood   the same, exactly every second line a failed login, each by an address that was not there before
//	kern    the packet filter: 70 % refused and 10 % allowed packets, 20 % other lines of the kernel
//	mixed   the whole log of a server, 10 % of it attacks
//
//	plain   as rsyslog writes files: "Nov 21 03:04:05 bastion01 sshd[42]: text"
//	3164    plain after <PRI>
//	5424    "<PRI>1 2026-11-21T03:04:05.123456Z bastion01 sshd 42 - - text"
//	export  systemd's Journal Export Format with the fields that journald adds
//
// The lines are spread over -days days up to the end of 2026-11-21. With -public the attackers are from networks that are neither an
// example nor private, so that tattled would report them: for what sends nothing (tattled replay).
//
// -truth writes how many lines of each class there are: {"lines": 1000000, "classes": {"ssh-failed": 210123, ...}}.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	kind := flag.String("kind", "auth", "auth, flood, kern or mixed")
	format := flag.String("format", "plain", "plain, 3164, 5424 or export")
	lines := flag.Int("n", 1_000_000, "how many lines")
	out := flag.String("o", "", "the file to write (default standard output)")
	truth := flag.String("truth", "", "the file for the count of each class")
	seed := flag.Uint64("seed", 1, "another seed gives other bytes")
	days := flag.Int("days", 1, "over how many days the lines are spread")
	public := flag.Bool("public", false, "attackers whom tattled would report: for what sends nothing")
	flag.Parse()
	next, known := kinds[*kind]
	write, knownFormat := formats[*format]
	if !known || !knownFormat || *lines < 1 || *days < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	from := newSource(*seed)
	if *public {
		from.publish()
	}
	classes, err := generate(*out, *lines, *days, from, next, write)
	if err == nil && *truth != "" {
		err = writeTruth(*truth, *lines, classes)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// generate writes n lines, spread over days, and counts their classes.
func generate(path string, n, days int, s *source, next func(*source) entry, write format) (map[string]int, error) {
	f := os.Stdout
	if path != "" {
		var err error
		if f, err = os.Create(path); err != nil {
			return nil, err
		}
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	classes := map[string]int{}
	now := time.Date(2026, 11, 22-days, 0, 0, 0, 0, time.UTC)
	step := time.Duration(days) * 24 * time.Hour / time.Duration(n)
	var b []byte
	for range n {
		e := next(s)
		if e.class != "" {
			classes[e.class]++
		}
		now = now.Add(step)
		b = write(b[:0], now, &e)
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return classes, f.Close()
}

func writeTruth(path string, lines int, classes map[string]int) error {
	text, err := json.Marshal(map[string]any{"lines": lines, "classes": classes})
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
