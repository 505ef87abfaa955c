package daemon

import (
	"fmt"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/journal"
	"tattled/receiver/syslog"
	"tattled/receiver/tail"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/mail"
	"tattled/store"
	"tattled/store/bolt"
)

// shippedParts is the table of what tattled is put together from. A new kind of source or destination is one entry here, whose
// function says all that the daemon needs to know of it; nothing else in this package knows of a kind, but what is about two of them
// (a log file and the journal that have the same lines) or about AbuseIPDB itself (its scores, its quota).
func shippedParts() *table {
	return &table{
		sources: []part[source]{
			optional("sources.journal", journalSource),
			each[tail.Files]("sources.files", fileSource),
			each[syslog.Listeners]("sources.syslog", syslogSource),
		},
		destinations: []part[destination]{
			always(abuseIPDBSection, abuseIPDBDestination, abuseIPDBKey()),
			optional("alerts.mail", mailDestination, mailPassword()),
		},
	}
}

func journalSource(at string, c *journal.Config) source {
	return source{
		at: at, name: "journal", reporter: c.Reporter, trust: event.TrustReport, opens: openHelpers,
		open: func(env *environment) (receiver.Receiver, error) {
			cfg := *c
			cfg.Logger, cfg.Known = env.log, env.known
			return open(journal.New(cfg))
		},
	}
}

func fileSource(at string, c *tail.Config) source {
	return source{
		at: at, name: c.Source(), alias: c.Path, reporter: c.Reporter, program: c.Program, form: c.Form, trust: c.MostTrust(),
		open: func(env *environment) (receiver.Receiver, error) {
			cfg := *c
			cfg.Logger, cfg.Shared = env.log, env.files
			return open(tail.New(cfg))
		},
		files: c.Paths,
		opens: openFiles,
	}
}

func syslogSource(at string, c *syslog.Config) source {
	s := source{
		at: at, name: c.Listen, reporter: c.Reporter, program: c.Program, form: c.Form, named: len(c.Allow) > 0,
		open: func(env *environment) (receiver.Receiver, error) { return open(syslog.New(*c, env.sockets)) },
	}
	s.trust, s.condition = c.MostTrust()
	s.network, s.listen, _ = c.Address()
	if s.network == "tcp" {
		s.opens = openConnections
	}
	return s
}

// open makes of a constructor's results those of a source: no receiver is nil, not an interface with a nil pointer.
func open[R receiver.Receiver](r R, err error) (receiver.Receiver, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// abuseIPDBSection is the one destination that is more than that: its account is asked for scores, and its settings are the gate's.
const abuseIPDBSection = "report.abuseipdb"

// abuseIPDB returns the section of that name.
func (c *Config) abuseIPDB() *abuseipdb.Config {
	return sectionOf[abuseipdb.Config](c, abuseIPDBSection)
}

func abuseIPDBKey() secretName { return secretName{"abuseipdb.key", "ABUSEIPDB_KEY"} }

func mailPassword() secretName { return secretName{"mail.password", "TATTLED_MAIL_PASSWORD"} }

func abuseIPDBDestination(at string, c *abuseipdb.Config) destination {
	d := c.WithDefaults()
	return destination{
		at: at, name: abuseipdb.Destination, action: policy.Report, window: d.Window.D(), terms: report.Terms{Rate: d.Rate, Uncertain: d.Uncertain},
		remedy: "see that its address answers from this machine (report.abuseipdb.url), that the key is valid, and that its quota is not used up",
		open: func(cfg *Config, version string) (report.Sender, error) {
			key, err := cfg.secret(abuseIPDBKey(), c.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("%s.key_file: %w", at, err)
			}
			client, err := abuseipdb.New(*c, key, "tattled/"+version, nil)
			if err != nil {
				return nil, fmt.Errorf("%s.%w", at, err) // which begins with the setting
			}
			return client, nil
		},
	}
}

func mailDestination(at string, c *mail.Config) destination {
	d := c.WithDefaults()
	return destination{
		at: at, name: mail.Destination, action: policy.Alert, window: d.Mute.D(), terms: report.Terms{Rate: d.Rate},
		remedy: "see that alerts.mail.server answers from this machine and accepts its user, password, sender and recipients",
		open: func(cfg *Config, _ string) (report.Sender, error) {
			password, err := cfg.secret(mailPassword(), c.PasswordFile)
			if err != nil {
				return nil, fmt.Errorf("%s.password_file: %w", at, err)
			}
			if c.Username != "" && password.IsZero() && !cfg.unseen(mailPassword()) {
				return nil, fmt.Errorf("%s.username: there is no password for it: put it into a file and name that as password_file, or leave the user name out", at)
			}
			sender, err := mail.New(*c, password)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			return sender, nil
		},
	}
}

// openBackend opens the state file. The notes tell the operator what was wrong with it and what was done about it.
func openBackend(cfg store.Config) (*bolt.Backend, []string, error) {
	cfg.Defaults()
	b, found, err := bolt.Open(cfg.Path, bolt.Options{MaxSize: int64(cfg.MaxSize) << 20, Now: time.Now()})
	if err != nil {
		return nil, nil, err
	}
	notes := restoredNotes(&found)
	if found.Records > 0 {
		notes = append(notes, fmt.Sprintf("%d records of the state file failed their checksum and were quarantined; the addresses that they were about are not reported for a window, because they may have been already", found.Records))
	}
	if found.Meta {
		notes = append(notes, "one of the state file's two meta pages was damaged: its last transaction may be missing")
	}
	return b, notes, nil
}

// restoredNotes says what took the place of a file that was damaged or missing.
func restoredNotes(found *bolt.Opened) []string {
	if found.Damage == "" {
		return nil
	}
	what, place := fmt.Sprintf("the state file was damaged (%s): it is now %s", found.Damage, found.Quarantined), "an empty one"
	if found.Quarantined == "" {
		what = "the state file was missing and backups of it were there (to start afresh, remove these as well)"
	}
	if found.Backup != "" {
		place = "the backup " + found.Backup
	}
	notes := []string{what + ", and " + place + " took its place"}
	if s := found.Salvaged; found.Quarantined != "" {
		notes = append(notes, fmt.Sprintf("from the damaged file %d addresses, %d reports, %d events and the positions of %d logs that were newer were recovered", s.Addresses, s.Reports, s.Events, s.Positions))
	}
	if n := found.Salvaged.Dropped; n > 0 {
		notes = append(notes, fmt.Sprintf("of %d reports nobody knows whether they were sent: they were dropped", n))
	}
	if found.Unread != nil {
		notes = append(notes, fmt.Sprintf("nothing was recovered from the damaged file: %v", found.Unread))
	}
	for _, name := range found.Removed {
		notes = append(notes, "an older damaged file was removed: "+name)
	}
	return notes
}
