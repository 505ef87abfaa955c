package attack

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The table that TestDaemons prints, in the form of columns.
const (
	rowMark   = "ROW "
	rowFormat = "%-10s %-28s %-8s %7s %7s %8s %8s %8s %8s %8s %6s %6s"
)

var header = fmt.Sprintf(rowFormat, "daemon", "version", "form", "values", "named", "records", "matched", "refused", "ignored", "unproven", "peer", "others")

const (
	doubleURL = "http://127.0.0.1:8089"
	pageURL   = "http://127.0.0.1:9817"
)

var innocents = regexp.MustCompile(`185\\?\.[0-9]+\\?\.[0-9]+\\?\.[0-9]+`) // BIND writes a dot within a label as \.

// judge gives what was logged to tattled twice: as journald has it, and as rsyslogd wrote it.
func (w *world) judge() error {
	w.logged = w.named()
	for _, addr := range []string{hostile, plain} { // which the gate would take for our own
		must("ip", "addr", "del", addr+"/32", "dev", "lo")
	}
	return errors.Join(w.judgeForm("journal"), w.judgeForm("rsyslog"))
}

func (w *world) judgeForm(form string) error {
	if form == "rsyslog" && len(w.d.files) > 0 {
		if _, err := os.Stat("/var/log/syslog"); err != nil {
			return nil // it logs to files only
		}
	}
	dir := "/attack/" + form
	config, err := w.configure(dir, form)
	if err != nil {
		return err
	}
	double := exec.Command("/attack/bin/abuseipdb-double", "--listen", "127.0.0.1:8089")
	tattled := exec.Command("/attack/bin/tattled", "run", "--config", config)
	log, err := os.Create(dir + "/log")
	if err != nil {
		return err
	}
	tattled.Stdout, tattled.Stderr = log, log
	tattled.Env = append(os.Environ(), insideMark+"=")
	for _, cmd := range []*exec.Cmd{double, tattled} {
		if err := cmd.Start(); err != nil {
			return err
		}
		defer func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}()
	}
	records, err := w.idle()
	if err != nil {
		text, _ := os.ReadFile(dir + "/log")
		return fmt.Errorf("%s: %w\n%s", form, err, text)
	}
	return w.compare(form, records)
}

// configure writes the packaged configuration with the sources of this machine.
func (w *world) configure(dir, form string) (string, error) {
	text, err := os.ReadFile("/attack/bin/tattled.yaml")
	if err != nil {
		return "", err
	}
	var files strings.Builder
	for _, f := range w.d.files {
		fmt.Fprintf(&files, "    - {path: %s, program: %s, start: beginning}\n", f.path, f.program)
	}
	journal := "  journal:\n    helper: /attack/bin/tattled-journal\n    since: 1h\n"
	if form == "rsyslog" {
		journal = "  journal_off:\n"
		files.WriteString("    - {path: /var/log/syslog, start: beginning}\n")
	}
	if files.Len() > 0 {
		journal = "  files:\n" + files.String() + journal
	}
	config := string(text)
	for _, r := range []struct{ old, with string }{
		{"  journal:\n", journal},
		{"    key_file: /etc/tattled/abuseipdb.key", "    url: " + doubleURL + "/api/v2/\n    key_file: " + dir + "/key"},
		{"  path: /var/lib/tattled/state.db", "  path: " + dir + "/state.db"},
	} {
		if strings.Count(config, r.old) != 1 {
			return "", fmt.Errorf("packaging/tattled.yaml has %q %d times, want once", r.old, strings.Count(config, r.old))
		}
		config = strings.Replace(config, r.old, r.with, 1)
	}
	if form == "rsyslog" {
		before, after, _ := strings.Cut(config, "  journal_off:\n")
		_, after, _ = strings.Cut(after, "\n") // its reporter
		config = before + after
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	put("/run/tattled/.keep", "")
	put("/etc/tattled/rules.d/.keep", "")
	if err := os.WriteFile(dir+"/key", []byte(strings.Repeat("0123456789abcdef", 5)), 0o600); err != nil {
		return "", err
	}
	return dir + "/tattled.yaml", os.WriteFile(dir+"/tattled.yaml", []byte(config), 0o644)
}

// named counts the innocents whose address is in what was logged: how many of the values have come so far.
func (w *world) named() int {
	text, _ := exec.Command("journalctl", "--no-pager", "-a", "-o", "cat").Output()
	for _, path := range paths(w.d.files) {
		more, _ := os.ReadFile(path)
		text = append(text, more...)
	}
	seen := map[string]bool{}
	for _, addr := range innocents.FindAllString(string(text), -1) {
		addr = strings.ReplaceAll(addr, `\`, "")
		seen[addr] = w.book.told[addr] != ""
	}
	perField := map[string]int{}
	n := 0
	for addr, ours := range seen {
		if ours {
			n++
			field, _, _ := strings.Cut(w.book.told[addr], " = ")
			perField[field]++
		}
	}
	for _, f := range w.d.fields {
		if perField[f.name] == 0 {
			fmt.Printf("%s: nothing of %s is logged\n", w.d.name, f.name)
		}
	}
	return n
}

// idle waits until nothing more is read, and every report is delivered.
func (w *world) idle() (int, error) {
	last, since := -1, time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); <-tick.C {
		now, err := metric("tattled_receiver_records_total")
		if err != nil || now != last {
			last, since = now, time.Now()
			continue
		}
		pending, _ := metric(`tattled_outbox_items{destination="abuseipdb",state="pending"}`)
		claimed, _ := metric(`tattled_outbox_items{destination="abuseipdb",state="claimed"}`)
		if now > 0 && pending+claimed == 0 && time.Since(since) > 1500*time.Millisecond {
			return now, nil
		}
	}
	return last, errors.New("tattled does not come to rest")
}

// compare judges reports and events, and prints the row of the table.
func (w *world) compare(form string, records int) error {
	reported, err := reports()
	if err != nil {
		return err
	}
	var faults []error
	others := 0
	for _, addr := range reported {
		if addr != hostile && addr != plain {
			others++
			faults = append(faults, fmt.Errorf("%s: %s was reported: %s", form, addr, w.book.told[addr]))
		}
	}
	w.unproven, w.seen = 0, false
	framed, err := w.framed()
	if err != nil {
		return err
	}
	peer := "yes"
	switch {
	case w.d.unreported && len(reported) > 0:
		faults = append(faults, fmt.Errorf("%s: nothing in this log is to be reported, but %v were", form, reported))
	case w.d.nameless, w.d.foreign && form == "journal" && w.seen && len(reported) == 0:
		peer = "-"
	case w.d.unreported && w.seen:
		peer = "seen"
	case w.d.unreported:
		peer = "NO"
		faults = append(faults, fmt.Errorf("%s: the plain attack of %s is no event", form, plain))
	case !slices.Contains(reported, plain):
		peer = "NO"
		faults = append(faults, fmt.Errorf("%s: the plain attack of %s was not reported (reported: %v)", form, plain, reported))
	}
	if len(faults) > 0 {
		tellMetrics()
	}
	for _, line := range framed {
		faults = append(faults, fmt.Errorf("%s: %s", form, line))
	}
	count := func(outcome string) string {
		n, _ := metric(`tattled_receiver_outcomes_total`, `outcome="`+outcome+`"`)
		return fmt.Sprint(n)
	}
	fmt.Printf(rowMark+rowFormat+"\n", w.d.name, w.version, form, fmt.Sprint(w.sent.Load()), fmt.Sprint(w.logged), fmt.Sprint(records),
		count("matched"), count("refused"), count("ignored"), fmt.Sprint(w.unproven), peer, fmt.Sprint(others))
	return errors.Join(faults...)
}

// framed lists events about others with a proven address, the first three of each rule and field: each is a line that tattled
// holds against somebody who did not send it, whatever the number that a policy asks for.
func (w *world) framed() ([]string, error) {
	var faults []string
	seen := map[string]int{}
	var after uint64
	for {
		var answer struct {
			Events []struct {
				Seq                                  uint64
				Handshake                            bool
				Address, Service, Rule, Line, Source string
			}
			Next uint64
		}
		if err := get(fmt.Sprintf("%s/api/v1/events?limit=1000&after=%d", pageURL, after), &answer); err != nil {
			return nil, err
		}
		if len(answer.Events) == 0 {
			return faults, nil
		}
		after = answer.Next
		for _, e := range answer.Events {
			w.seen = w.seen || e.Address == plain
			if e.Address == hostile || e.Address == plain || e.Address == server || e.Address == "127.0.0.1" {
				continue
			}
			if !e.Handshake { // of a log in which peers write whole lines: shown, never reported
				w.unproven++
				continue
			}
			field, _, _ := strings.Cut(w.book.told[e.Address], " = ")
			if key := e.Service + "/" + e.Rule + field; seen[key] < 3 {
				seen[key]++
				faults = append(faults, fmt.Sprintf("%s/%s holds against %s (%s): %q\n    by %s", e.Service, e.Rule, e.Address, e.Source, e.Line, w.book.told[e.Address]))
			}
		}
	}
}

func reports() ([]string, error) {
	var list []struct{ IP string }
	err := get(doubleURL+"/double/reports", &list)
	var addrs []string
	for _, r := range list {
		addrs = append(addrs, r.IP)
	}
	return addrs, err
}

func get(url string, into any) error {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.200s", url, res.Status, body)
	}
	return json.Unmarshal(body, into)
}

// metric sums the samples whose line begins with name and holds all of parts.
func metric(name string, parts ...string) (int, error) {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(pageURL + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	sum := 0.0
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
next:
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, name) {
			continue
		}
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue next
			}
		}
		var v float64
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err == nil {
			sum += v
		}
	}
	return int(sum), lines.Err()
}

// tellMetrics shows what policies and the gate decided.
func tellMetrics() {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(pageURL + "/metrics")
	if err != nil {
		return
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		for _, name := range []string{"tattled_policy_", "tattled_detect_matched_total", "tattled_detect_refused_total", "tattled_outbox_items", "tattled_reports_total", "tattled_receiver_records_total"} {
			if strings.HasPrefix(lines.Text(), name) && !strings.HasSuffix(lines.Text(), " 0") {
				fmt.Printf("  %s\n", lines.Text())
			}
		}
	}
}

// keepLogs copies what was logged, for a look at it.
func (w *world) keepLogs(dir string) {
	_ = os.MkdirAll(dir, 0o755)
	if out, err := exec.Command("journalctl", "--no-pager", "-o", "export").Output(); err == nil {
		_ = os.WriteFile(dir+"/journal.export", out, 0o644)
	}
	for _, path := range append([]string{"/var/log/syslog", "/attack/journal/log", "/attack/rsyslog/log"}, paths(w.d.files)...) {
		if text, err := os.ReadFile(path); err == nil {
			_ = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(path[1:], "/", "-")), text, 0o644)
		}
	}
}

func paths(files []logFile) []string {
	var list []string
	for _, f := range files {
		list = append(list, f.path)
	}
	return list
}
