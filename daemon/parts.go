package daemon

import (
	"fmt"
	"log/slog"
	"time"

	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/journal"
	"tattled/receiver/syslog"
	"tattled/receiver/tail"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/mail"
	"tattled/setting"
	"tattled/store"
	"tattled/store/bolt"
)

// The names under which secrets are looked for: systemd credentials, then the file of the configuration, then the
// environment.
const (
	keyCredential      = "abuseipdb.key"
	keyVariable        = "ABUSEIPDB_KEY"
	passwordCredential = "mail.password"
	passwordVariable   = "TATTLED_MAIL_PASSWORD"
)

// sourcePart lists the sources of one kind. A new kind is one line in sourceParts.
type sourcePart struct {
	name string // the section below sources
	list func(s *Sources, env *sourceEnvironment) []opener
}

// sourceEnvironment is what a source may need beside its own section.
type sourceEnvironment struct {
	sockets *syslog.Passed // from systemd
	log     *slog.Logger
}

func sourceParts() []sourcePart {
	return []sourcePart{
		{"journal", listJournal},
		{"files", listFiles},
		{"syslog", listSyslog},
	}
}

func listJournal(s *Sources, env *sourceEnvironment) []opener {
	if s.Journal == nil {
		return nil
	}
	cfg := *s.Journal
	cfg.Logger = env.log
	return []opener{{"journal", func() (receiver.Receiver, error) { return open(journal.New(cfg)) }}}
}

func listFiles(s *Sources, env *sourceEnvironment) []opener {
	var all []opener
	shared := tail.NewShared()
	for _, cfg := range s.Files {
		cfg.Logger, cfg.Shared = env.log, shared
		all = append(all, opener{"file:" + cfg.Path, func() (receiver.Receiver, error) { return open(tail.New(cfg)) }})
	}
	return all
}

func listSyslog(s *Sources, env *sourceEnvironment) []opener {
	var all []opener
	for _, cfg := range s.Syslog {
		all = append(all, opener{cfg.Listen, func() (receiver.Receiver, error) { return open(syslog.New(cfg, env.sockets)) }})
	}
	return all
}

// open makes of a constructor's results those of an opener: no receiver is nil, not an interface with a nil pointer.
func open[R receiver.Receiver](r R, err error) (receiver.Receiver, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// senderPart makes the sender of one kind of destination. A new kind is one line in senderParts. open returns nil where
// the configuration does not ask for it.
type senderPart struct {
	name   string
	action policy.Action
	open   func(cfg *Config, version string) (report.Sender, error)
	terms  func(cfg *Config) terms
}

// terms are how a destination is to be treated.
type terms struct {
	window    setting.Duration
	rate      float64
	uncertain store.Uncertain
}

func senderParts() []senderPart {
	return []senderPart{
		{"abuseipdb", policy.Report, openAbuseIPDB, func(cfg *Config) terms {
			c := cfg.Report.AbuseIPDB.WithDefaults()
			return terms{c.Window, c.Rate, c.Uncertain}
		}},
		{"mail", policy.Alert, openMail, func(cfg *Config) terms {
			c := cfg.Alerts.Mail.WithDefaults()
			return terms{window: c.Mute, rate: c.Rate}
		}},
	}
}

func openAbuseIPDB(cfg *Config, version string) (report.Sender, error) {
	c := cfg.Report.AbuseIPDB
	key, err := cfg.secret(keyCredential, c.KeyFile, keyVariable)
	if err != nil {
		return nil, fmt.Errorf("report.abuseipdb.key_file: %w", err)
	}
	client, err := abuseipdb.New(c, key, "tattled/"+version, nil)
	if err != nil {
		return nil, fmt.Errorf("report.abuseipdb.key_file: %w", err)
	}
	return client, nil
}

func openMail(cfg *Config, _ string) (report.Sender, error) {
	c := cfg.Alerts.Mail
	if c == nil {
		return nil, nil
	}
	password, err := cfg.secret(passwordCredential, c.PasswordFile, passwordVariable)
	if err != nil {
		return nil, fmt.Errorf("alerts.mail.password_file: %w", err)
	}
	if c.Username != "" && password.IsZero() && !cfg.unseen(passwordCredential) {
		return nil, fmt.Errorf("alerts.mail.username: there is no password for it: put it into a file and name that as password_file, or leave the user name out")
	}
	sender, err := mail.New(*c, password)
	if err != nil {
		return nil, fmt.Errorf("alerts.mail: %w", err)
	}
	return sender, nil
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
	what, place := fmt.Sprintf("the state file was damaged (%s): it is now %s", found.Damage, found.Aside), "an empty one"
	if found.Aside == "" {
		what = "the state file was missing and backups of it were there (to start afresh, remove these as well)"
	}
	if found.Backup != "" {
		place = "the backup " + found.Backup
	}
	notes := []string{what + ", and " + place + " took its place"}
	if s := found.Salvaged; found.Aside != "" {
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
