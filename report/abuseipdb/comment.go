package abuseipdb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tattled/event"
)

// MaxComment bounds a comment, in bytes. AbuseIPDB cuts comments at 1,024 bytes (its bulk-report page says so of that
// endpoint, others found it of report).
const MaxComment = 1000

// maxName bounds the service's name within a comment, in bytes.
const maxName = 32

// Comment describes r to the public: how often what was done, to which service and ports, and when. It is made of typed
// fields only, but for a report by hand: counts, times, port numbers, and the service's name from the rule file. Nothing of a log line gets in, no
// account, no host, no label and no address, so there is nothing to redact. The same report always gives the same
// comment: AbuseIPDB merges the same address, comment and categories within a day (its reporting policy), so that a
// report sent twice after a crash counts once.
func Comment(r *event.Report) string {
	if r.Comment != "" { // of a report by hand: the operator's own words
		return r.Comment
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", service(r), activity(r))
	if r.Users > 1 {
		fmt.Fprintf(&b, ", %d user names tried", r.Users)
	}
	b.WriteString(ports(r))
	b.WriteString(span(r))
	return b.String()
}

// service returns the service's name if it looks like one, else what sort of thing was attacked.
func service(r *event.Report) string {
	known := r.Service != "" && len(r.Service) <= maxName && r.Service[0] != '-' // which begins a formula in a spreadsheet
	for _, c := range []byte(r.Service) {
		known = known && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	switch {
	case r.Kind == event.FirewallBlock || r.Kind == event.FirewallAccept:
		return "firewall"
	case known:
		return r.Service
	default:
		return "service"
	}
}

// activity returns what was done and how often.
func activity(r *event.Report) string {
	one, many := "suspicious event", "suspicious events"
	switch r.Kind {
	case event.AuthFailure:
		one, many = "failed login", "failed logins"
	case event.AuthSuccess:
		one, many = "unexpected login", "unexpected logins"
	case event.FirewallBlock:
		one, many = "blocked connection attempt", "blocked connection attempts"
	case event.FirewallAccept:
		one, many = "unwanted connection", "unwanted connections"
	case event.Ban:
		one, many = "ban for repeated attacks", "bans for repeated attacks"
	case event.Probe:
		one, many = "probe", "probes"
	case event.WebAttack:
		one, many = "malicious HTTP request", "malicious HTTP requests"
	case event.MailAbuse:
		one, many = "abusive mail attempt", "abusive mail attempts"
	}
	if len(r.Kinds) > 1 && r.Count > 1 { // they are not all of one kind
		many = "suspicious events"
	}
	if r.Count == 1 {
		return "1 " + one
	}
	return strconv.Itoa(r.Count) + " " + many
}

// maxPorts bounds how many ports a comment names.
const maxPorts = 16

func ports(r *event.Report) string {
	if len(r.Ports) == 0 {
		return ""
	}
	var names []string
	for _, p := range r.Ports[:min(len(r.Ports), maxPorts)] {
		names = append(names, strconv.Itoa(int(p)))
	}
	text := ", port "
	if len(names) > 1 {
		text = ", ports "
	}
	text += strings.Join(names, " ")
	if len(r.Ports) > maxPorts {
		text += " and more"
	}
	switch r.Proto {
	case event.TCP, event.UDP, event.ICMP:
		text += "/" + r.Proto.String()
	}
	return text
}

// span returns when it was, in UTC. A span that cannot be right (a sender's clock ahead of ours) is left out.
func span(r *event.Report) string {
	const day, clock = "2006-01-02", "15:04:05"
	first, last := r.First.UTC().Truncate(time.Second), r.Last.UTC().Truncate(time.Second)
	switch {
	case r.First.IsZero(), first.After(r.Judged), last.Before(first), first.Year() < 1970, last.Year() > 9999:
		return ""
	case first.Equal(last):
		return first.Format(", " + day + " " + clock + " UTC")
	case first.Format(day) == last.Format(day):
		return first.Format(", "+day+" "+clock) + last.Format(" to "+clock+" UTC")
	default:
		return first.Format(", "+day+" "+clock) + last.Format(" to "+day+" "+clock+" UTC")
	}
}

// maxCategories is the API's bound on the categories of one report.
const maxCategories = 30

// categories returns the report's categories in the API's form: ascending, each once, 22 (SSH) never without a more
// specific one, as the API's category page asks. A rule that names none gets the one that its kind implies.
func categories(r *event.Report) string {
	const emailSpam, portScan, hacking, bruteForce, webAttack, ssh = 11, 14, 15, 18, 21, 22
	var all []int
	for _, c := range r.Categories {
		if c > 0 {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		switch r.Kind {
		case event.AuthFailure, event.AuthSuccess, event.Ban:
			all = []int{bruteForce}
		case event.FirewallBlock, event.FirewallAccept:
			all = []int{portScan}
		case event.WebAttack:
			all = []int{webAttack}
		case event.MailAbuse:
			all = []int{emailSpam}
		default:
			all = []int{hacking}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if slices.Equal(all, []int{ssh}) {
		all = []int{bruteForce, ssh}
	}
	var names []string
	for _, c := range all[:min(len(all), maxCategories)] {
		names = append(names, strconv.Itoa(c))
	}
	return strings.Join(names, ",")
}

// timestamp returns the earliest observance in the form that the API documents: with a numeric offset. Where a
// sender's clock is ahead of ours it is the time of the judgement, which is the earliest that we can vouch for.
func timestamp(r *event.Report) string {
	t := r.First
	if t.IsZero() || t.After(r.Judged) {
		t = r.Judged
	}
	return t.UTC().Format("2006-01-02T15:04:05-07:00")
}
