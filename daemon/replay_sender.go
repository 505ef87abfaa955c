package daemon

import (
	"context"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/report"
	"tattled/report/abuseipdb"
)

// nullSender stands for a destination in a replay: it takes what the real one would, as far as that can be known, and sends nothing.
type nullSender struct {
	name   string
	action policy.Action
	quota  int // reports that are taken a day; 0 is no bound
	replay *Replay

	day  time.Time
	used int
}

// Destination implements report.Sender.
func (s *nullSender) Destination() string { return s.name }

// Send implements report.Sender. A third party whose quota is used up is closed until midnight UTC, as AbuseIPDB is.
func (s *nullSender) Send(_ context.Context, r *event.Report) report.Outcome {
	now := s.replay.clock
	if s.action == policy.Report {
		if out := abuseipdb.Admissible(r, now); out.Result != 0 {
			return out
		}
		if day := dayOf(now); day != s.day {
			s.day, s.used = day, 0
		}
		if s.quota > 0 && s.used >= s.quota {
			return report.Outcome{Result: report.Paused, Until: s.day.AddDate(0, 0, 1), Detail: "the day's reports are used up"}
		}
		s.used++
	}
	s.replay.books.sent(s.name, r, now)
	return report.Outcome{Result: report.Delivered}
}
