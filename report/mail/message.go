package mail

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"tattled/event"
	"tattled/report"
)

// The bounds of a mail's texts, in bytes.
const (
	maxSubject = 200
	maxField   = 200
	maxLine    = 4 * event.MaxLine // every byte of a line may come out as an escape
)

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

// subject follows "[tattled @ host] accept from Germany (AS3320) 203.0.113.5".
func (s *Sender) subject(r *event.Report) string {
	text := fmt.Sprintf("[tattled @ %s] %s from %s", s.host, deed(r.Kind), country(r.Place))
	if r.Place.ASN != 0 {
		text += fmt.Sprintf(" (AS%d)", r.Place.ASN)
	}
	text = report.Harmless(text+" "+r.Addr.String(), maxSubject)
	return strings.ReplaceAll(text, "=?", "= ?") // what looks like an encoded word is not to be decoded as one
}

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

// deed names a kind in the subject.
func deed(k event.Kind) string {
	switch k {
	case event.AuthFailure:
		return "failed logins"
	case event.AuthSuccess:
		return "login"
	case event.FirewallBlock:
		return "block"
	case event.FirewallAccept:
		return "accept"
	case event.WebAttack:
		return "web attack"
	case event.MailAbuse:
		return "mail abuse"
	default:
		return k.String()
	}
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
	row("Place", place(r.Place))
	row("Score", score(r))
	row("What", what(r))
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

func place(p event.Place) string {
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
	case r.Reputation != nil:
		return "not known"
	default:
		return ""
	}
}

func what(r *event.Report) string {
	text := strconv.Itoa(r.Count) + " x " + r.Kind.String()
	if r.Service != "" {
		text += ", " + r.Service
		if r.Rule != "" {
			text += "/" + r.Rule
		}
	}
	return text
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
	const form = "2006-01-02 15:04:05"
	switch first, last := r.First.UTC().Format(form), r.Last.UTC().Format(form); {
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
