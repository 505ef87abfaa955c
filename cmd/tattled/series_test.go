package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// stranger writes what strangers and hostile senders make up: the text of each line is of number i alone.
type stranger struct {
	t       *testing.T
	tcp     net.Conn
	file    *os.File
	written int
}

// write sends five lines: to two programs with rules, as a program that nobody knows, with a host that is no name, and to a file.
func (s *stranger) write(i int) {
	s.t.Helper()
	now := time.Now()
	stamp, addr := now.Format(time.Stamp), fmt.Sprintf("45.%d.%d.%d", 140+i%3, i/250%250, 1+i%250)
	_, err := fmt.Fprintf(s.tcp, "<38>%[1]s host%[2]d sshd[%[2]d]: Failed password for invalid user u%[2]d from %[3]s port 1 ssh2\n"+
		"<38>%[1]s reporter=\"h%[2]d\" sshd[%[2]d]: Failed password for invalid user \"}x%[2]d{ from %[3]s port 1 ssh2\n"+
		"<38>%[1]s web1 nginx: %[3]s - - [%[4]s] \"GET /.env/p%[2]d HTTP/1.1\" 404 5 \"-\" \"agent%[2]d\"\n"+
		"<38>%[1]s web1 prog%[2]d\"}{service=\"s%[2]d\"}[1]: Failed password for root from %[3]s port 1 ssh2\n",
		stamp, i, addr, now.UTC().Format("02/Jan/2006:15:04:05 -0700"))
	if err == nil {
		_, err = fmt.Fprintf(s.file, "%s f%d sshd[1]: Failed password for invalid user f%d from 2001:db8:%x::1 port 1 ssh2\n", stamp, i, i, i)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.written += 5
}

// No text of a log line ever becomes a label: ten thousand addresses, networks, hosts, users, programs and paths, made up to break out of a
// label, add no series.
func TestMetricsDoNotGrow(t *testing.T) {
	log := filepath.Join(t.TempDir(), "auth.log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	config := quick(t, "")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(config), filepath.Base(config), strings.Replace(string(text), "sources: {", "sources: {files: [{path: "+log+", reporter: shop}], ", 1))
	p := start(t, "run", "--config", config).ready()
	eventually(t, 10*time.Second, "the file", func() bool { return p.metric("tattled_receiver_files") == 1 })
	s := &stranger{t: t, tcp: p.dial(), file: file}
	series := func() (names map[string]bool, text string) {
		t.Helper()
		names = map[string]bool{}
		eventually(t, time.Minute, "the lines", func() bool { return p.metric("tattled_receiver_outcomes_total") == float64(s.written) })
		eventually(t, time.Minute, "the events", func() bool { return p.metric("tattled_events_total") == p.metric("tattled_detect_matched_total") })
		p.settled()
		_, text = p.get("/metrics")
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				names[line[:strings.LastIndexByte(line, ' ')]] = true
			}
		}
		return names, text
	}
	for i := range 100 {
		for range 6 { // so that every policy that will be reached was
			s.write(i)
		}
	}
	before, _ := series()
	for i := range 10_000 {
		s.write(i)
	}
	after, body := series()
	t.Logf("%d series before and %d after %d lines of ten thousand addresses, networks, hosts, users, programs and paths", len(before), len(after), s.written)
	for name := range after {
		if !before[name] {
			t.Errorf("it is new: %s", name)
		}
	}
	if events := p.metric("tattled_events_total"); events < 3*10_000 {
		t.Errorf("only %v events: the lines are not read as they should be", events)
	}
	madeUp := regexp.MustCompile(`^(host|h|u|x|p|prog|s|agent|f)\d+$`)
	for line := range strings.Lines(body) {
		for _, value := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(`"{}=,\/ `, r) }) {
			if addr, err := netip.ParseAddr(value); err == nil && !addr.IsLoopback() || madeUp.MatchString(value) {
				t.Errorf("%s, which a line made up, in %s", value, line)
			}
		}
	}
	for _, reporter := range []string{`reporter="shop"`, `reporter="other"`} {
		if !strings.Contains(body, reporter) {
			t.Errorf("no series has %s", reporter)
		}
	}
	p.stop()
}
