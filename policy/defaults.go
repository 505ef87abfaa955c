package policy

import (
	"time"

	"tattled/event"
	"tattled/setting"
)

// Defaults returns the policies that hold where the configuration has no policy section.
//
// The thresholds are those at which people who mistype are still safe: 5 failed logins in 10 minutes are a guess at a
// password (fail2ban's sshd jail and SSHGuard draw the line there as well), and so are 12 in a day, which catches those who
// know the first limit and go below it. Of these, a connection that a client left does not count
// (sshd/left-while-authenticating, sshd/disconnect): a job with a key that was taken off the server leaves one every hour.
// Mail clients repeat a stale password every few minutes, for days, so other services are held against an address only at
// 10 in 10 minutes, or where it tried 10 accounts in a day. One who tries five accounts in an hour is guessing accounts. A client that
// offers each key of its agent in turn (sshd/offered) is no prober, however many keys there are, and neither is a host whose
// name does not fit its address (sshd/reverse-mapping). What well-behaved peers do as well (rules that are weak: a page that is
// not there, an unknown recipient, a lost handshake) is held against nobody below a rate that no browser, crawler or mail
// server keeps up.
func Defaults() []Config {
	within := func(d time.Duration) setting.Duration { return setting.Duration(d) }
	const day = 24 * time.Hour
	return []Config{
		{
			Name: "ssh-bruteforce", When: When{Kind: []event.Kind{event.AuthFailure}, Service: []string{"sshd"}, Strength: strong},
			Threshold: 5, Within: within(10 * time.Minute), Do: []string{doReport},
		},
		{
			Name: "ssh-slow-bruteforce", When: When{
				Kind: []event.Kind{event.AuthFailure}, Service: []string{"sshd"},
				RuleNot: []string{"left-while-authenticating", "disconnect"}, Strength: strong,
			},
			Threshold: 12, Within: within(day), Do: []string{doReport},
		},
		{
			Name: "ssh-user-enumeration", When: When{Kind: []event.Kind{event.AuthFailure}, Service: []string{"sshd"}, Strength: strong},
			Threshold: 5, Within: within(time.Hour), Distinct: distinctUsers, Do: []string{doReport},
		},
		{
			Name: "probes", When: When{Kind: []event.Kind{event.Probe}, RuleNot: []string{"offered", "reverse-mapping"}, Strength: strong},
			Threshold: 10, Within: within(time.Hour), Do: []string{doReport},
		},
		{
			Name: "login-bruteforce", When: When{Kind: []event.Kind{event.AuthFailure}, ServiceNot: []string{"sshd"}, Strength: strong}, // mail, FTP and others
			Threshold: 10, Within: within(10 * time.Minute), Do: []string{doReport},
		},
		{
			Name: "login-slow-bruteforce", When: When{Kind: []event.Kind{event.AuthFailure}, ServiceNot: []string{"sshd"}, Strength: strong},
			Threshold: 10, Within: within(day), Distinct: distinctUsers, Do: []string{doReport},
		},
		{
			Name: "mail-abuse", When: When{Kind: []event.Kind{event.MailAbuse}, Strength: strong},
			Threshold: 5, Within: within(time.Hour), Do: []string{doReport},
		},
		{
			Name: "web-probing", When: When{Kind: []event.Kind{event.WebAttack}, Strength: strong},
			Threshold: 3, Within: within(10 * time.Minute), Do: []string{doReport},
		},
		{
			Name: "flood", When: When{
				Kind:    []event.Kind{event.Probe, event.WebAttack, event.MailAbuse, event.AuthFailure},
				RuleNot: []string{"offered", "reverse-mapping"}, Strength: weak,
			},
			Threshold: 300, Within: within(10 * time.Minute), Do: []string{doReport},
		},
		{
			// Nothing proves who sent a blocked packet: the gate refuses the report unless report_unverified_tcp is set.
			Name: "port-scan", When: When{Kind: []event.Kind{event.FirewallBlock}},
			Threshold: 5, Within: within(10 * time.Minute), Distinct: distinctPorts, Do: []string{doReport},
		},
		{
			Name: "success-after-failures", When: When{Kind: []event.Kind{event.AuthSuccess}}, After: []event.Kind{event.AuthFailure},
			Threshold: 5, Within: within(time.Hour), Do: []string{doAlert},
		},
	}
}
