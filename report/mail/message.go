package mail

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"tattled/event"
	"tattled/report"
)

// The bounds of a mail's texts, in bytes.
const (
	maxSubject = 400
	maxName    = 60 // of a host in the subject
	maxAccount = 40 // of an account there
	maxField   = 300
	maxLine    = 4 * event.MaxLine // every byte of a line may come out as an escape
)

// moment is the form of a time.
const moment = "2006-01-02 15:04:05"

// message builds the mail about r. It is the same, byte for byte, whenever it is built from the same report.
func (s *Sender) message(r *event.Report) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP))
	if err := m.From(s.config.From); err != nil {
		return nil, err
	}
	if err := m.To(s.config.To...); err != nil {
		return nil, err
	}
	m.Subject(s.subject(r))
	m.SetDateWithValue(r.Judged.UTC())
	m.SetMessageIDWithValue(s.messageID(r))
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation notice answers it
	m.SetBodyString(mail.TypeTextPlain, s.body(r))
	return m, nil
}

// messageID names the mail for ever: one that is sent again after a crash is the same mail to every server that cares.
func (s *Sender) messageID(r *event.Report) string {
	sum := sha256.Sum256([]byte(r.ID))
	return hex.EncodeToString(sum[:16]) + ".tattled@" + s.domain
}

// subject says what, which account, on which host and from where: "[tattled @ log1] login as "root" after 6 failed logins on web1
// from Germany (AS3320) 203.0.113.5". The host in front is the one that tattled runs on.
func (s *Sender) subject(r *event.Report) string {
	text := fmt.Sprintf("[tattled @ %s] %s", report.Harmless(s.host, maxName), deeds(r))
	if r.User != "" {
		text += fmt.Sprintf(" as %q", report.Harmless(r.User, maxAccount))
		if r.Users > 1 {
			text += " and others"
		}
	}
	if r.Prior != nil {
		text += " after " + before(r.Prior)
	}
	if r.Host != "" {
		text += " on " + report.Harmless(r.Host, maxName)
	}
	switch {
	case internal(r.Addr):
		text += " from the internal address"
	case r.Place.ASN != 0:
		text += fmt.Sprintf(" from %s (AS%d)", country(r.Place), r.Place.ASN)
	default:
		text += " from " + country(r.Place)
	}
	text = report.Harmless(text+" "+r.Addr.String(), maxSubject)
	return strings.ReplaceAll(text, "=?", "= ?") // what looks like an encoded word is not to be decoded as one
}

// internal reports whether an address is one that networks give out within: those of RFC 1918, RFC 4193 and RFC 6598, of a link, and the
// machine's own loopback. They are in no country. A policy with private: true alerts of them.
func internal(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || sharedSpace().Contains(a)
}

// sharedSpace is what carriers and overlay networks give out (RFC 6598).
func sharedSpace() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10) }

func country(p event.Place) string {
	switch {
	case p.CountryName != "":
		return report.Harmless(p.CountryName, 60)
	case p.Country != "":
		return report.Harmless(p.Country, 10)
	default:
		return "an unknown country"
	}
}

// deeds says what was counted, and how often where that was more than once: "6 failed logins".
func deeds(r *event.Report) string {
	if len(r.Kinds) > 1 && r.Count > 1 {
		return strconv.Itoa(r.Count) + " events"
	}
	return times(max(r.Count, 1), r.Kind)
}

// before says what came before, and how often: "6 failed logins".
func before(p *event.Prior) string {
	text := strconv.Itoa(p.Count) + " events"
	if len(p.Kinds) == 1 {
		text = strconv.Itoa(p.Count) + " " + noun(p.Count, p.Kinds[0])
	}
	if p.More {
		text += " or more"
	}
	return text
}

// times names n events of a kind. One has no number.
func times(n int, k event.Kind) string {
	if n == 1 {
		return noun(1, k)
	}
	return strconv.Itoa(n) + " " + noun(n, k)
}

// noun names one event of a kind, or several.
func noun(n int, k event.Kind) string {
	one, many := k.String(), k.String()+" events"
	switch k {
	case event.AuthFailure:
		one, many = "failed login", "failed logins"
	case event.AuthSuccess:
		one, many = "login", "logins"
	case event.FirewallBlock:
		one, many = "block", "blocks"
	case event.FirewallAccept:
		one, many = "accept", "accepts"
	case event.Ban:
		one, many = "ban", "bans"
	case event.Probe:
		one, many = "probe", "probes"
	case event.WebAttack:
		one, many = "web attack", "web attacks"
	case event.MailAbuse:
		one, many = "mail abuse", "cases of mail abuse"
	}
	if n == 1 {
		return one
	}
	return many
}

// body is the mail's text: a table of what is known, and the line.
func (s *Sender) body(r *event.Report) string {
	var b strings.Builder
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name+":", report.Harmless(value, maxField))
		}
	}
	row("Address", r.Addr.String())
	row("Place", place(r.Addr, r.Place))
	row("Score", score(r))
	row("What", what(r))
	row("Before", preceded(r.Prior))
	row("Accounts", accounts(r))
	row("Ports", ports(r))
	row("When", span(r))
	row("Seen by", seenBy(r))
	row("Policy", r.Policy)
	if r.Line != "" {
		fmt.Fprintf(&b, "\nThe record that led to this, as the log has it; what is in it may be the attacker's choice:\n\n    %s\n",
			report.Harmless(r.Line, maxLine))
	}
	fmt.Fprintf(&b, "\nThis policy sends no more mail about this address for %v.\n", s.config.Mute)
	return b.String()
}

func place(a netip.Addr, p event.Place) string {
	if internal(a) {
		return "an internal address of this network"
	}
	var parts []string
	if p.City != "" {
		parts = append(parts, p.City)
	}
	switch {
	case p.CountryName != "" && p.Country != "":
		parts = append(parts, fmt.Sprintf("%s (%s)", p.CountryName, p.Country))
	case p.CountryName != "" || p.Country != "":
		parts = append(parts, p.CountryName+p.Country)
	}
	if p.ASN != 0 {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("AS%d %s", p.ASN, p.Org)))
	}
	if len(parts) == 0 {
		return "unknown"
	}
	return strings.Join(parts, ", ")
}

// score says what AbuseIPDB thinks of the address, if it was asked.
func score(r *event.Report) string {
	switch {
	case r.Score != nil && r.Reputation != nil:
		days := int((r.Reputation.MaxAge + 24*time.Hour - 1) / (24 * time.Hour))
		return fmt.Sprintf("%d of 100 at AbuseIPDB, by the reports of %d days", *r.Score, days)
	case r.Score != nil:
		return fmt.Sprintf("%d of 100 at AbuseIPDB", *r.Score)
	case r.Reputation != nil && r.ScoreMissing != "":
		return "not known: " + r.ScoreMissing
	case r.Reputation != nil:
		return "not known"
	default:
		return ""
	}
}

// what says how many events of which kinds were counted, and which rule found the last one: no more is known of the others.
func what(r *event.Report) string {
	kinds := r.Kinds
	if len(kinds) < 2 || r.Count <= 1 {
		kinds = []event.Kind{r.Kind}
	}
	text := fmt.Sprintf("%s (%s)", deeds(r), names(kinds))
	if r.Service == "" {
		return text
	}
	rule := r.Service
	if r.Rule != "" {
		rule += "/" + r.Rule
	}
	if r.Count > 1 {
		rule = "the last one " + rule
	}
	return text + ", " + rule
}

// preceded says what came before, and since when; "" where the policy does not ask for that.
func preceded(p *event.Prior) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("%s (%s)", before(p), names(p.Kinds))
	if !p.First.IsZero() {
		text += " since " + p.First.UTC().Format(moment) + " UTC"
	}
	return text
}

func names(kinds []event.Kind) string {
	all := make([]string, len(kinds))
	for i, k := range kinds {
		all[i] = k.String()
	}
	return strings.Join(all, ", ")
}

func accounts(r *event.Report) string {
	switch {
	case r.Users > 1 && r.User != "":
		return fmt.Sprintf("%d, the last one %q", r.Users, r.User)
	case r.Users > 1:
		return strconv.Itoa(r.Users)
	case r.User != "":
		return fmt.Sprintf("%q", r.User)
	default:
		return ""
	}
}

func ports(r *event.Report) string {
	var names []string
	for _, p := range r.Ports {
		names = append(names, strconv.Itoa(int(p)))
	}
	text := strings.Join(names, " ")
	if proto := r.Proto.String(); proto != "" && text != "" {
		text += " (" + proto + ")"
	}
	return text
}

func span(r *event.Report) string {
	switch first, last := r.First.UTC().Format(moment), r.Last.UTC().Format(moment); {
	case r.First.IsZero():
		return ""
	case first == last || r.Last.IsZero():
		return first + " UTC"
	default:
		return first + " to " + last + " UTC"
	}
}

func seenBy(r *event.Report) string {
	if r.Reporter == "" || r.Reporter == r.Host {
		return r.Host
	}
	if r.Host == "" {
		return r.Reporter
	}
	return r.Host + " (" + r.Reporter + ")"
}
