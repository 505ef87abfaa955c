package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"time"

	"tattled/daemon"
	"tattled/event"
)

// replayReport is what `tattled replay` shows. Its JSON is that of the first configuration, with the second one beside it.
type replayReport struct {
	Config   string  `json:"config"`
	Compared string  `json:"compared,omitempty"`
	Quota    int     `json:"quota"`
	Seconds  float64 `json:"seconds"`
	*daemon.Replayed
	Second     *daemon.Replayed           `json:"second,omitempty"`
	Difference *daemon.ReplayedDifference `json:"difference,omitempty"`

	first, second *daemon.Replayed
}

// fill makes what is shown of what was replayed.
func (r *replayReport) fill() {
	r.Replayed, r.Second = r.first, r.second
	if r.second != nil {
		d := r.first.Compare(r.second)
		r.Difference = &d
	}
}

// How many rows of a list are in the table; JSON and the page have all.
const (
	rowsShown = 20
	daysShown = 62
)

// replayTable writes the report as text, at most 80 columns wide.
type replayTable struct {
	*bufio.Writer
	screen screen
}

func (r *replayReport) writeTable(out io.Writer, s screen) error {
	t := &replayTable{bufio.NewWriter(out), s}
	t.summary(r)
	t.days(r.Days)
	t.policies(r.Policies)
	t.gate(r.Gate)
	t.addresses("Reported, those that went on most first", r.Addresses)
	t.alerts(r.Alerts, r.Alerted)
	if r.Difference != nil {
		t.difference(r)
	}
	return t.Flush()
}

func (t *replayTable) heading(text string) { fmt.Fprintf(t, "\n%s\n", t.screen.paint(bold, text)) }

// row writes a name and what it is.
func (t *replayTable) row(name, format string, values ...any) {
	fmt.Fprintf(t, "%-22s %s\n", name, fmt.Sprintf(format, values...))
}

func (t *replayTable) summary(r *replayReport) {
	fmt.Fprintf(t, "%s\n", t.screen.paint(bold, "What "+fit(event.Visible(r.Config), 60)+" would have done"))
	if r.Events > 0 {
		t.row("from", "%s to %s", stampText(r.From), stampText(r.To))
	}
	t.row("records", "%d: %d matched, %d ignored, %d refused", r.Records, r.Matched, r.Ignored, r.Refused)
	t.row("events", "%d, and %d of trusted networks", r.Events, r.Trusted)
	for _, d := range r.Destinations {
		what := "reports"
		if d.Action == "alert" {
			what = "alerts"
		}
		t.row(d.Name, "%d %s due, %d sent, %d waiting, %d given up", d.Judged, what, d.Sent, d.Waiting, d.Expired+d.Dismissed+d.Rejected)
	}
	t.row("addresses reported", "%d", r.Reported)
	t.row("blocked at the first", "%d attempts of %d would not have happened (%s)", r.Blocked.Attempts, r.Blocked.Of, percent(r.Blocked.Attempts, r.Blocked.Of))
	if r.Blocked.Logins > 0 {
		t.row("", "logins among them that succeeded: %d; look at these first", r.Blocked.Logins)
	}
}

func percent(part, whole uint64) string {
	if whole == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

func stampText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func (t *replayTable) days(all []daemon.ReplayedDay) {
	if len(all) == 0 {
		return
	}
	t.heading("By day (UTC)")
	fmt.Fprintf(t, "%-10s %9s %9s %9s %9s %9s %9s\n", "DAY", "DUE", "SENT", "LIMIT", "WAITING", "EXPIRED", "ALERTS")
	for i, d := range all {
		if i == daysShown {
			t.more(len(all)-i, "days")
			break
		}
		limit := "none"
		if d.Limit > 0 {
			limit = strconv.Itoa(d.Limit)
		}
		fmt.Fprintf(t, "%-10s %9d %9d %9s %9d %9d %9d\n", d.Day, d.Judged, d.Sent, limit, d.Waiting, d.Expired, d.Alerts)
	}
}

// more says that a list goes on elsewhere.
func (t *replayTable) more(n int, what string) {
	fmt.Fprintf(t, "... and %d more %s: see --json\n", n, what)
}

func (t *replayTable) policies(all []daemon.ReplayedPolicy) {
	t.heading("By policy: how often it was reached, and what followed")
	fmt.Fprintf(t, "%-24s %8s %8s %8s %8s %8s %8s\n", "POLICY", "REPORT", "ALERT", "MUTED", "REFUSED", "WEIGHED", "HELD")
	for _, p := range all {
		if p == (daemon.ReplayedPolicy{Name: p.Name}) {
			continue
		}
		fmt.Fprintf(t, "%-24s %8d %8d %8d %8d %8d %8d\n", fit(p.Name, 24), p.Report, p.Alert, p.Muted, p.Refused, p.Weighed, p.Held)
	}
}

func (t *replayTable) gate(all []daemon.ReplayedRefusal) {
	if len(all) == 0 {
		return
	}
	t.heading("Refused by the gate")
	fmt.Fprintf(t, "%-14s %9s %9s %9s  %s\n", "REASON", "DECISIONS", "EVENTS", "ADDRESSES", "MOST OF")
	for _, g := range all {
		example := ""
		if len(g.Examples) > 0 {
			example = g.Examples[0].String()
		}
		addresses := strconv.Itoa(g.Addresses)
		if g.More {
			addresses += "+"
		}
		fmt.Fprintf(t, "%-14s %9d %9d %9s  %s\n", g.Reason, g.Decisions, g.Events, addresses, fit(example, 34))
	}
	fmt.Fprint(t, "Decisions: reports and alerts that a policy wanted. Events: those that could\nlead to no report, whether or not a policy was reached.\n")
}

func (t *replayTable) addresses(title string, all []daemon.ReplayedAddress) {
	if len(all) == 0 {
		return
	}
	t.heading(title)
	fmt.Fprintf(t, "%-22s %-16s %-20s %7s %11s\n", "ADDRESS", "FIRST REPORT", "POLICY", "REPORTS", "TRIES AFTER")
	for i, a := range all {
		if i == rowsShown {
			t.more(len(all)-i, "addresses")
			break
		}
		fmt.Fprintf(t, "%-22s %-16s %-20s %7d %11d\n", fit(a.Addr.String(), 22), a.First.UTC().Format("2006-01-02 15:04"), fit(a.Policy, 20), a.Reports, a.After)
	}
}

func (t *replayTable) alerts(all []daemon.ReplayedAlert, sent uint64) {
	if len(all) == 0 {
		return
	}
	t.heading("Alerts")
	fmt.Fprintf(t, "%-16s %-22s %-22s %s\n", "TIME", "ADDRESS", "POLICY", "ACCOUNT")
	for i, a := range all {
		if i == rowsShown {
			t.more(int(sent)-i, "alerts")
			break
		}
		fmt.Fprintf(t, "%-16s %-22s %-22s %s\n", a.Time.UTC().Format("2006-01-02 15:04"), fit(a.Addr.String(), 22), fit(a.Policy, 22), fit(event.Visible(a.User), 16))
	}
}

func (t *replayTable) difference(r *replayReport) {
	d := r.Difference
	t.heading("Beside it: " + fit(event.Visible(r.Compared), 60))
	both := func(name string, a, b any) { fmt.Fprintf(t, "%-34s %12v %12v\n", name, a, b) }
	both("", "FIRST", "SECOND")
	both("addresses reported", r.Reported, r.Second.Reported)
	both("only by this one", len(d.First), len(d.Second))
	both("alerts", r.Alerted, r.Second.Alerted)
	both("attempts after the first report", r.Blocked.Attempts, r.Second.Blocked.Attempts)
	for _, p := range d.Policies {
		for _, what := range []struct {
			name string
			a, b uint64
		}{
			{"reports", p.First.Report, p.Second.Report}, {"alerts", p.First.Alert, p.Second.Alert}, {"counts", p.First.Count, p.Second.Count},
			{"muted", p.First.Muted, p.Second.Muted}, {"refused", p.First.Refused, p.Second.Refused},
		} {
			if what.a != what.b {
				both(fit(p.Name, 24)+" "+what.name, what.a, what.b)
			}
		}
	}
	t.addresses("Reported by the first alone", d.First)
	t.addresses("Reported by the second alone", d.Second)
}
