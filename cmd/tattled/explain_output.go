package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tattled/daemon"
	"tattled/detect"
	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
)

// answer is what explain says of one line: --json writes it as it is. Absent fields are left out.
type answer struct {
	LineNo  int    `json:"line_no"`
	Verdict string `json:"verdict"` // matched, refused or ignored
	Reason  string `json:"reason"`  // one sentence for people
	Config  string `json:"config,omitempty"`

	Header  string `json:"header,omitempty"` // rfc3164, rfc3339, rfc5424 or none; absent with --program
	Time    string `json:"time,omitempty"`
	Host    string `json:"host,omitempty"`
	Program string `json:"program,omitempty"`
	PID     string `json:"pid,omitempty"`
	Message string `json:"message"`

	Services  []string        `json:"services,omitempty"` // that know the program
	Rule      string          `json:"rule,omitempty"`     // service/rule
	Kind      string          `json:"kind,omitempty"`
	IP        string          `json:"ip,omitempty"`
	Port      uint16          `json:"port,omitempty"`
	LocalPort uint16          `json:"local_port,omitempty"`
	Proto     string          `json:"proto,omitempty"`
	User      string          `json:"user,omitempty"`
	Handshake bool            `json:"handshake,omitempty"`
	Stray     bool            `json:"stray,omitempty"`
	Forward   bool            `json:"forward,omitempty"`
	Refusal   string          `json:"refusal,omitempty"`
	Disabled  string          `json:"disabled,omitempty"`
	Ways      []answerWay     `json:"ways,omitempty"`
	Parsed    []answerParsed  `json:"parsed,omitempty"`
	Nearest   *answerNearest  `json:"nearest,omitempty"`
	Similar   []string        `json:"similar,omitempty"`
	Elsewhere []answerElse    `json:"elsewhere,omitempty"`
	Gate      *answerGate     `json:"gate,omitempty"`
	Policies  []answerPolicy  `json:"policies,omitempty"`
	finding   *detect.Finding // of a match
	message   []byte          // that the rules were shown
}

// answerWay is one way to read the line.
type answerWay struct {
	Rule    string `json:"rule"`
	Pattern string `json:"pattern,omitempty"`
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Peer    string `json:"peer"`
	Refusal string `json:"refusal,omitempty"`
}

// answerParsed is what a parser read.
type answerParsed struct {
	Service string      `json:"service"`
	Fields  [][2]string `json:"fields,omitempty"`
	Failed  string      `json:"failed,omitempty"`
}

// answerNearest is the pattern that came closest.
type answerNearest struct {
	Rule     string `json:"rule"`
	Pattern  string `json:"pattern"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	At       int    `json:"at"`       // byte of the message, behind what rsyslog may have written around it
	Expected string `json:"expected"` // "" is the end of the message
}

// answerElse is what the line would be as another program's.
type answerElse struct {
	Program string `json:"program"`
	Verdict string `json:"verdict"`
	Rule    string `json:"rule"`
}

// answerGate is the gate's word on a report.
type answerGate struct {
	Report  bool   `json:"report"`
	Alert   bool   `json:"alert"` // false: only policies with private: true alert, and of a trusted address none
	Refusal string `json:"refusal,omitempty"`
	Because string `json:"because,omitempty"`
	Trust   string `json:"trust"` // of the source, or of the peers that it trusts most

	Condition string `json:"condition,omitempty"` // which peers those are; of others no report is made
}

// answerPolicy is what a policy makes of the event.
type answerPolicy struct {
	Name      string   `json:"name"`
	Counts    bool     `json:"counts"`
	Mismatch  string   `json:"mismatch,omitempty"`
	Threshold int      `json:"threshold"`
	Within    string   `json:"within,omitempty"`
	Distinct  string   `json:"distinct,omitempty"`
	Least     int      `json:"min_distinct,omitempty"`
	Successes int      `json:"successes,omitempty"`
	Weighs    bool     `json:"weighs,omitempty"`
	After     []string `json:"after,omitempty"`
	Scores    []int    `json:"scores,omitempty"` // the lowest and the highest that an alert is for
	Do        []string `json:"do"`
}

func newAnswer(r *receiver.Record, e daemon.Explained, header string) *answer {
	d := &e.Detection
	a := &answer{
		Verdict: d.Verdict.String(), Header: header, Host: string(r.Host), Program: string(r.Program), PID: string(r.PID),
		Message: string(r.Message), Similar: d.Similar, message: d.Message,
	}
	if !r.Time.IsZero() {
		a.Time = r.Time.Format(time.RFC3339Nano)
	}
	for _, s := range d.Services {
		a.Services = append(a.Services, s.Name)
	}
	for _, w := range d.Ways {
		one := answerWay{Rule: w.Rule.String(), Pattern: w.Pattern, File: w.Rule.Service.File, Line: w.Line, Peer: w.Peer}
		if w.Refusal != detect.NotRefused {
			one.Refusal = w.Refusal.String()
		}
		a.Ways = append(a.Ways, one)
	}
	for _, p := range d.Parsed {
		one := answerParsed{Service: p.Service.Name, Failed: p.Failed}
		for _, f := range p.Fields {
			one.Fields = append(one.Fields, [2]string{f.Name, f.Value})
		}
		a.Parsed = append(a.Parsed, one)
	}
	if n := d.Nearest; n != nil {
		a.Nearest = &answerNearest{n.Rule.String(), n.Pattern, n.Rule.Service.File, n.Line, n.At, n.Expected}
	}
	for _, o := range d.Elsewhere {
		a.Elsewhere = append(a.Elsewhere, answerElse{o.Program, o.Verdict.String(), o.Rule.String()})
	}
	if e.Disabled != nil {
		a.Disabled = e.Disabled.String()
	}
	switch {
	case r.Cut && d.Verdict == detect.Ignored:
		a.Verdict, a.Reason = "refused", "it is longer than tattled takes, and whoever wrote it chose where it is cut"
	case d.Verdict == detect.Matched:
		a.matched(&e, r)
	case d.Verdict == detect.Refused:
		a.refused(d)
	default:
		a.ignored(d)
	}
	return a
}

// matched fills in what follows from a match.
func (a *answer) matched(e *daemon.Explained, r *receiver.Record) {
	f := &e.Detection.Finding
	a.Rule, a.Kind, a.IP, a.Port, a.LocalPort = f.Rule.String(), f.Rule.Kind.String(), f.Addr.String(), f.Port, f.LocalPort
	a.Proto, a.User, a.Handshake, a.Stray, a.Forward, a.finding = f.Proto.String(), string(f.User), e.Event.Handshake, f.Stray, f.Forward, f
	a.Gate = &answerGate{Report: e.Refusal == policy.None, Alert: !e.Refusal.Internal(), Refusal: e.Refusal.String(), Because: e.Because, Trust: r.Trust.String()}
	var counting, reporting, silent []string
	for _, p := range e.Policies {
		one := answerPolicy{
			Name: p.Policy, Counts: p.Counts, Mismatch: p.Mismatch, Threshold: max(p.Config.Threshold, 1), Distinct: p.Config.Distinct, Do: p.Config.Do,
			Least: p.Config.MinDistinct, Successes: p.Config.Successes, Weighs: p.Weighs,
		}
		if p.Config.Within > 0 {
			one.Within = p.Config.Within.String()
		}
		for _, k := range p.Config.After {
			one.After = append(one.After, k.String())
		}
		if p.Config.Reputation != nil {
			lowest, highest := p.Config.Reputation.Bounds()
			one.Scores = []int{lowest, highest}
		}
		a.Policies = append(a.Policies, one)
		if p.Counts || p.Mismatch == "" && !e.Trusted && !e.Ordinary {
			counting = append(counting, p.Policy)
			if strings.Contains(strings.Join(p.Config.Do, " "), "report") {
				reporting = append(reporting, p.Policy)
			}
			if slices.Contains(p.Config.Do, "alert") && !p.Config.Private && !a.Gate.Alert {
				silent = append(silent, p.Policy)
			}
		}
	}
	a.Reason = fmt.Sprintf("%s, %s by %s", a.Rule, a.Kind, a.IP)
	switch {
	case e.Trusted:
		a.Reason += "; nothing follows, because the address is in a trusted network"
	case e.Ordinary:
		a.Reason += "; it counts against nobody: it is regular traffic, or opens no connection"
	case len(counting) == 0:
		a.Reason += "; no policy counts it"
	default:
		a.Reason += "; it counts for " + strings.Join(counting, ", ")
		switch {
		case len(reporting) > 0 && !a.Gate.Report:
			a.Reason += ", but is not reported, because " + a.Gate.Because
		case len(silent) > 0:
			a.Reason += ", but nobody is alerted, because " + a.Gate.Because + ", and " + strings.Join(silent, ", ") + " has no private: true"
		}
	}
}

// refused says why a line that a rule describes is refused.
func (a *answer) refused(d *detect.Explanation) {
	if d.Finding.Refusal == detect.OtherForm {
		a.Refusal, a.Reason = d.Finding.Refusal.String(), "it is not of the form that the configuration declares for its source (form:), so nothing in it is read"
		return
	}
	a.Rule, a.Refusal = d.Finding.Rule.String(), d.Finding.Refusal.String()
	var peers []string
	for _, w := range d.Ways {
		if peer := strconv.Quote(w.Peer); !slices.Contains(peers, peer) {
			peers = append(peers, peer)
		}
	}
	peer := strings.Join(peers, " and ")
	switch d.Finding.Refusal {
	case detect.HostName:
		a.Reason = fmt.Sprintf("%s describes it, but it has the name %s in place of the address, and names are never resolved", a.Rule, peer)
	case detect.BadAddress:
		a.Reason = fmt.Sprintf("%s describes it, but %s, in place of the address, is not an address", a.Rule, peer)
	case detect.Proxy:
		a.Reason = fmt.Sprintf("%s describes it, but it is from the trusted proxy %s, and its X-Forwarded-For does not say who sent the request", a.Rule, peer)
	case detect.AddressList:
		a.Reason = fmt.Sprintf("%s describes it, but several addresses are where the peer should be (%s), and the client can write all of them but those that your own proxies append: log the connection's address, or name the proxies in rules.trusted_proxies", a.Rule, peer)
	case detect.TooLong:
		if peer == "" {
			a.Reason = fmt.Sprintf("%s describes it, but it is longer than the lines that its program writes whole, so a peer may have chosen where it ends", a.Rule)
			break
		}
		a.Reason = fmt.Sprintf("%s describes it, but it is so long that it may have been cut where a peer chose, so as to end in %s", a.Rule, peer)
	default:
		a.Reason = fmt.Sprintf("%s describes it, but it can be read in more than one way, and so may name somebody whom the sender chose", a.Rule)
		if len(peers) > 1 {
			a.Reason += ": " + peer
		}
	}
}

// ignored says why no rule describes the line.
func (a *answer) ignored(d *detect.Explanation) {
	switch {
	case a.Disabled != "":
		a.Reason = fmt.Sprintf("the configuration disables %s, which describes it (rules.disable)", a.Disabled)
	case a.Program == "" && a.Header == "none":
		a.Reason = "it has no known header, so its program is unknown: give it with --program NAME, or program: of the file in the configuration"
	case a.Program == "":
		a.Reason = "its header names no program"
	case len(d.Services) == 0:
		a.Reason = fmt.Sprintf("no rule file knows the program %q", a.Program)
		if len(d.Similar) > 0 {
			a.Reason += fmt.Sprintf("; did you mean %s?", strings.Join(d.Similar, " or "))
		}
	case len(d.Ways) > 0:
		a.Reason = fmt.Sprintf("%s describes it as a line that is not an event", d.Ways[0].Rule)
	case len(d.Parsed) > 0 && d.Nearest == nil:
		a.Reason = "no rule of " + strings.Join(a.Services, ", ") + " describes it: " + d.Parsed[0].Failed
	default:
		a.Reason = "no rule of " + strings.Join(a.Services, ", ") + " describes it"
	}
}

// valueColumn is where the values of write begin.
const valueColumn = 12

// write writes the answer for people.
func (a *answer) write(b *bytes.Buffer, s screen) {
	verdict := strings.ToUpper(a.Verdict)
	style := map[string]string{"matched": red, "refused": yellow, "ignored": bold}[a.Verdict]
	fmt.Fprintf(b, "%s: %s\n\n", s.paint(style, verdict), s.wrap(event.Visible(a.Reason), len(verdict)+2, 0))
	row := func(name, format string, args ...any) {
		value := strings.TrimRight(event.Visible(fmt.Sprintf(format, args...)), " ")
		fmt.Fprintf(b, "  %s %s\n", s.paint(dim, name)+strings.Repeat(" ", max(0, 9-len(name))), s.wrap(value, valueColumn, valueColumn))
	}
	if a.Header != "" {
		row("header", "%s", list("", a.Header, "", a.Time, "host ", a.Host, "program ", a.Program, "pid ", a.PID))
	} else {
		row("header", "none expected; program %s", a.Program)
	}
	row("message", "%s", a.Message)
	if len(a.Services) > 0 {
		row("services", "%s", strings.Join(a.Services, ", "))
	}
	if a.finding != nil {
		a.writeFound(row)
	}
	for _, p := range a.Parsed {
		var fields []string
		for _, f := range p.Fields {
			fields = append(fields, f[0]+" "+strconv.Quote(f[1]))
		}
		if len(fields) > 0 {
			row("parsed", "%s", strings.Join(fields, ", "))
		}
		if p.Failed != "" && !strings.HasSuffix(a.Reason, p.Failed) {
			row("", "%s: %s", p.Service, p.Failed)
		}
	}
	if a.Verdict == "refused" {
		for i, w := range a.Ways {
			row(fmt.Sprintf("reading %d", i+1), "peer %q by %s", w.Peer, w.Rule)
			if w.Pattern != "" {
				row("", "%s (%s:%d)", w.Pattern, w.File, w.Line)
			}
		}
	}
	if a.Nearest != nil {
		a.writeNearest(b, row, s)
	}
	for _, o := range a.Elsewhere {
		row("hint", "as a line of the program %s it would be %s by %s", o.Program, o.Verdict, o.Rule)
	}
	a.writeFollows(row)
	if a.Config == "" {
		row("config", "the shipped defaults")
	} else {
		row("config", "%s", a.Config)
	}
}

func (a *answer) writeFound(row func(name, format string, args ...any)) {
	rule := a.finding.Rule
	row("rule", "%s (%s:%d)", a.Rule, rule.Service.File, rule.Line)
	if len(a.Ways) > 0 && a.Ways[0].Pattern != "" {
		row("pattern", "%s", a.Ways[0].Pattern)
	}
	port, local, user := "", "", ""
	if a.Port > 0 {
		port = strconv.Itoa(int(a.Port))
	}
	if a.LocalPort > 0 {
		local = strconv.Itoa(int(a.LocalPort))
	}
	if a.finding.User != nil {
		user = strconv.Quote(a.User)
	}
	direction := ""
	if a.Forward {
		direction = "forward"
	}
	row("found", "%s", list("kind ", a.Kind, "ip ", a.IP, "port ", port, "our port ", local, "", a.Proto, "direction ", direction, "user ", user))
}

func (a *answer) writeFollows(row func(name, format string, args ...any)) {
	if a.Gate == nil {
		return
	}
	switch {
	case a.Gate.Report && a.Gate.Condition != "":
		row("gate", "it may lead to a report if %s", a.Gate.Condition)
	case a.Gate.Report:
		row("gate", "it may lead to a report, as a record of a source with trust: %s", a.Gate.Trust)
	case a.Gate.Alert:
		row("gate", "no report, because %s", a.Gate.Because)
	default:
		row("gate", "no report and no lookup of a score, and no alert but by policies with private: true, because %s", a.Gate.Because)
	}
	name := "policies"
	var others, weighing []string
	for _, p := range a.Policies {
		what := "events"
		if p.Threshold == 1 {
			what = "event"
		}
		if p.Distinct != "" && p.Least == 0 {
			what = "different " + p.Distinct
		}
		if len(p.After) > 0 {
			what = strings.Join(p.After, ", ") + " before"
		}
		reach := fmt.Sprintf("%d %s", p.Threshold, what)
		if p.Within != "" {
			reach += " within " + p.Within
		}
		if p.Least > 0 {
			reach += fmt.Sprintf(" with at least %d different %s", p.Least, p.Distinct)
		}
		reach += ", then " + strings.Join(p.Do, ", ")
		switch {
		case len(p.Scores) != 2:
		case p.Scores[0] == p.Scores[1]:
			reach += fmt.Sprintf(" if its score at AbuseIPDB is %d", p.Scores[0])
		default:
			reach += fmt.Sprintf(" if its score at AbuseIPDB is %d to %d", p.Scores[0], p.Scores[1])
		}
		switch {
		case p.Counts:
			row(name, "%s: it is counted; %s", p.Name, reach)
			name = ""
			if p.Successes > 0 {
				weighing = append(weighing, fmt.Sprintf("%s (%d)", p.Name, p.Successes))
			}
		case p.Mismatch == "" && len(p.After) > 0:
			row(name, "%s: it is what reaches it; %s", p.Name, reach)
			name = ""
		case p.Weighs:
			row(name, "%s: it takes back up to %d failures of the account in the 10m before, and weighs against those of others", p.Name, p.Successes)
			name = ""
		case p.Mismatch != "":
			others = append(others, p.Name+" ("+p.Mismatch+")")
		}
	}
	if len(weighing) > 0 {
		row("unless", "a login to this account, at this service and from this address, takes it back within 10m (so many at once: %s); more accounts log in from there than fail; "+
			"or many addresses that logged in before fail at once", strings.Join(weighing, ", "))
	}
	if len(others) > 0 {
		row("not for", "%s", strings.Join(others, ", "))
	}
}

// shownBefore and shownBehind bound, in characters, what is shown of a message around the place where a pattern parts
// from it.
const (
	shownBefore = 70
	shownBehind = 40
)

// writeNearest shows the pattern that came closest, and below the message a mark where they part.
func (a *answer) writeNearest(b *bytes.Buffer, row func(name, format string, args ...any), s screen) {
	n := a.Nearest
	row("nearest", "%s (%s:%d)", n.Rule, n.File, n.Line)
	row("", "%s", n.Pattern)
	before, behind := []rune(event.Visible(string(a.message[:n.At]))), []rune(event.Visible(string(a.message[n.At:])))
	most, rest := shownBefore, shownBehind
	if s.width > 0 { // the line and its mark must not be wrapped
		most = min(most, (s.width-valueColumn)*2/3-len("..."))
		rest = min(rest, (s.width-valueColumn)/3-len("..."))
	}
	if len(before) > most {
		before = append([]rune("..."), before[len(before)-most:]...)
	}
	if len(behind) > rest {
		behind = append(behind[:rest:rest], []rune("...")...)
	}
	fmt.Fprintf(b, "%*s%s\n", valueColumn, "", strings.TrimRight(string(before)+string(behind), " "))
	expected := "the end of the message"
	if n.Expected != "" {
		expected = n.Expected
	}
	mark := len(before)
	says := "^ here it expects " + event.Visible(expected)
	if s.width > 0 && valueColumn+mark+utf8.RuneCountInString(says) > s.width {
		says = "^\n" + strings.Repeat(" ", valueColumn) + "here it expects " + event.Visible(expected)
	}
	fmt.Fprintf(b, "%*s%s%s\n", valueColumn, "", strings.Repeat(" ", mark), says)
}

// list joins names with the values that are there: "host ", "web1", "pid ", "" is "host web1".
func list(pairs ...string) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			all = append(all, pairs[i]+pairs[i+1])
		}
	}
	return strings.Join(all, ", ")
}
