package policy

import (
	"slices"
	"time"

	"tattled/event"
	"tattled/setting"
)

// Defaults returns the policies that hold where the configuration has no policy section. docs/honest.md has the sequences of
// honest peers that they were drawn for, and what becomes of each.
//
// The thresholds are those at which people who mistype are still safe: 5 wrong passwords in 10 minutes over SSH are guessing
// (fail2ban's sshd jail and SSHGuard draw the line there as well), and so are 12 in a day, which catches those who know the
// first limit and go below it. Only passwords count there: a job with a key that was taken off the server, an agent with
// eight keys, and everybody while the directory of accounts is away leave other lines, which are weak. One who asks for five
// accounts in an hour that do not exist, or tries their passwords, is guessing accounts.
//
// Elsewhere a client repeats a stale password, for days: a mail program every few minutes, a mail server for each message in
// its queue. So a number counts only with breadth, 10 tries at 3 accounts or more in 10 minutes, 10 accounts in a day, or
// where it is more than any client keeps up: 100 in 5 minutes. A 401 of a web server is the answer to a request, not to an
// attempt: monitoring gets one for each page that it reads with an old password.
//
// A login that succeeds weighs against failures (Config.Successes): people who mistype get in at last, and where many share
// an address, most do.
//
// Any web page can have its readers' browsers ask us for a path, so that a report needs 10 requests for 5 different ones, or
// what no page can make a browser send: the name of a tool, or an attack in its place. A page that moved is asked for again
// and again by an open tab; a monitor may speak HTTP to any port once a minute.
//
// What well-behaved peers do as well (rules that are weak) is held against nobody below a rate that none of them keeps up.
// Answers of a web server that say no more than no (404, 403) and rejected mail have no such rate: a build tool asks for
// hundreds of files that are elsewhere, and a newsletter has hundreds of dead recipients.
func Defaults() []Config {
	return slices.Concat(sshDefaults(), loginDefaults(), webDefaults(), otherDefaults())
}

const day = 24 * time.Hour

func within(d time.Duration) setting.Duration { return setting.Duration(d) }

// webServices are those whose rules judge requests, and know their paths.
func webServices() []string { return []string{"web-access", "web-json", "haproxy"} }

func sshDefaults() []Config {
	passwords := When{Kind: []event.Kind{event.AuthFailure}, Service: []string{"sshd"}, Strength: strong}
	return []Config{
		{
			Name: "ssh-bruteforce", When: passwords,
			Threshold: 5, Within: within(10 * time.Minute), Successes: 5, Do: []string{doReport},
		},
		{
			Name: "ssh-slow-bruteforce", When: passwords,
			Threshold: 12, Within: within(day), Successes: 5, Do: []string{doReport},
		},
		{
			// Weak lines count here as well; these are of accounts that exist, or name none.
			Name: "ssh-user-enumeration", When: When{
				Kind: []event.Kind{event.AuthFailure}, Service: []string{"sshd"},
				RuleNot: []string{"left-while-authenticating", "disconnect", "too-many-failures"},
			},
			Threshold: 5, Within: within(time.Hour), Distinct: distinctUsers, Successes: 5, Do: []string{doReport},
		},
	}
}

// loginDefaults is about mail, FTP, databases and all else that asks for a password.
func loginDefaults() []Config {
	logins := When{Kind: []event.Kind{event.AuthFailure}, ServiceNot: append(webServices(), "sshd"), Strength: strong}
	basic := When{Kind: []event.Kind{event.AuthFailure}, Service: webServices(), Rule: []string{"unauthorized"}}
	return []Config{
		{
			Name: "login-bruteforce", When: logins,
			Threshold: 10, Within: within(10 * time.Minute), Distinct: distinctUsers, MinDistinct: 3, Successes: 5, Do: []string{doReport},
		},
		{
			Name: "login-slow-bruteforce", When: logins,
			Threshold: 10, Within: within(day), Distinct: distinctUsers, Successes: 5, Do: []string{doReport},
		},
		{
			// Of one account, or where the log names none.
			Name: "login-hammering", When: logins,
			Threshold: 100, Within: within(5 * time.Minute), Do: []string{doReport},
		},
		{
			// Posted forms, whose log names no account; WordPress answers 200 to some right passwords as well.
			Name: "web-login-bruteforce", When: When{
				Kind: []event.Kind{event.AuthFailure}, Service: webServices(), RuleNot: []string{"unauthorized"}, Strength: strong,
			},
			Threshold: 50, Within: within(10 * time.Minute), Do: []string{doReport},
		},
		{
			Name: "http-auth-bruteforce", When: basic,
			Threshold: 300, Within: within(5 * time.Minute), Do: []string{doReport},
		},
		{
			Name: "http-auth-spraying", When: basic,
			Threshold: 10, Within: within(10 * time.Minute), Distinct: distinctUsers, Do: []string{doReport},
		},
	}
}

func webDefaults() []Config {
	tools := []string{"log4shell-agent", "shellshock-agent", "scanner"}
	return []Config{
		{
			Name: "web-probing", When: When{Kind: []event.Kind{event.WebAttack, event.Probe}, Strength: strong},
			Threshold: 10, Within: within(time.Hour), Distinct: distinctPaths, MinDistinct: 5, Do: []string{doReport},
		},
		{
			Name: "web-tools", When: When{Kind: []event.Kind{event.WebAttack}, Rule: tools, Strength: strong},
			Threshold: 3, Within: within(10 * time.Minute), Do: []string{doReport},
		},
		{
			// What applications say themselves: their logs name no path. Any page can post a form to them now and then.
			Name: "application-attacks", When: When{Kind: []event.Kind{event.WebAttack}, ServiceNot: webServices(), Strength: strong},
			Threshold: 10, Within: within(10 * time.Minute), Do: []string{doReport},
		},
	}
}

func otherDefaults() []Config {
	return []Config{
		{
			Name: "probes", When: When{Kind: []event.Kind{event.Probe}, RuleNot: []string{"offered", "reverse-mapping", "application-probe"}, Strength: strong},
			Threshold: 20, Within: within(10 * time.Minute), Do: []string{doReport},
		},
		{
			// A mail program that was not told to log in tries each message of its outbox, every half hour.
			Name: "mail-abuse", When: When{Kind: []event.Kind{event.MailAbuse}, Strength: strong},
			Threshold: 30, Within: within(time.Hour), Do: []string{doReport},
		},
		{
			Name: "flood", When: When{
				Kind:    []event.Kind{event.Probe, event.WebAttack, event.AuthFailure},
				RuleNot: []string{"offered", "reverse-mapping", "not-found", "forbidden", "unauthorized", "unauthorized-dav"}, Strength: weak,
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
