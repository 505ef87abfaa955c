package fail2ban

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tattled/event"
)

// TestDescribe says what a rule is called, and what kind of event it is taken for, by the filter's name and its expression's words.
func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		filter, expression string
		options            Options
		want               string
	}{
		{"demo", `^bad guest from @$`, Options{}, "bad-guest-from probe [15]"},
		{"demo", `^authentication failure from @$`, Options{}, "authentication-failure-from auth-failure [18]"},
		{"demo", `^Login failed for .* from @$`, Options{}, "login-failed-for-from auth-failure [18]"},
		{"demo", `^wrong password @$`, Options{}, "wrong-password auth-failure [18]"},
		{"my-auth", `^bad guest from @$`, Options{}, "bad-guest-from auth-failure [18]"},
		{"sshd", `^bad guest from @$`, Options{}, "bad-guest-from probe [15 22]"},
		{"sshd", `^failed password from @$`, Options{}, "failed-password-from auth-failure [18 22]"},
		{"dropbear", `^bad password attempt from @$`, Options{}, "bad-password-attempt-from auth-failure [18 22]"},
		{"vsftpd", `^fail login: client "@"$`, Options{}, "fail-login-client auth-failure [5 18]"},
		{"vsftpd", `^bad client "@"$`, Options{}, "bad-client probe [5 15]"},
		{"asterisk", `^no peer @$`, Options{}, "no-peer probe [8 15]"},
		{"nginx-botsearch", `^@ - GET /phpmyadmin$`, Options{}, "get-phpmyadmin web-attack [21]"},
		{"nginx-http-auth", `^user x: password mismatch, client: @$`, Options{}, "user-password-mismatch-client auth-failure [18 21]"},
		{"postfix", `^reject: RCPT from @$`, Options{}, "reject-rcpt-from mail-abuse [11]"},
		{"postfix", `^relay denied for user x from @$`, Options{}, "relay-denied-for-user-from mail-abuse [11]"}, // every line has users
		{"postfix-sasl", `^SASL LOGIN failed from @$`, Options{}, "sasl-login-failed-from auth-failure [11 18]"},
		{"recidive", `^Ban @$`, Options{}, "ban ban [15]"},
		{"recidive", `^login Ban @$`, Options{}, "login-ban ban [15]"},
		{"portsentry", `^attackalert: @$`, Options{}, "attackalert probe [14 15]"},
		// what is asked for
		{"demo", `^bad guest from @$`, Options{Kind: event.MailAbuse}, "bad-guest-from mail-abuse [11]"},
		{"sshd", `^bad guest from @$`, Options{Kind: event.WebAttack}, "bad-guest-from web-attack [21 22]"},
		{"demo", `^bad guest from @$`, Options{Kind: event.FirewallBlock}, "bad-guest-from firewall-block [14]"},
		{"sshd", `^good guest from @$`, Options{Kind: event.AuthSuccess}, "good-guest-from auth-success []"},
		{"ssh", `^good guest from @$`, Options{Kind: event.FirewallAccept}, "good-guest-from firewall-accept []"},
		{"sshd", `^bad guest from @$`, Options{Categories: []int{20}}, "bad-guest-from probe [20]"},
		// names
		{"demo", `^@$`, Options{}, "line probe [15]"},
		{"demo", `^a 1 - @ (?:b|c)$`, Options{}, "line probe [15]"}, // words have two letters
		{"demo", `^one two three four five six seven @$`, Options{}, "one-two-three-four-five probe [15]"},
		{"demo", `^(?:first|second) words: (?:x)? of .+ @$`, Options{}, "first-words-of probe [15]"},
		{"demo", `^` + strings.Repeat("abcdefghi ", 5) + `@$`, Options{}, "abcdefghi-abcdefghi-abcdefghi-abcdefghi-abcdefgh probe [15]"},
		{"demo", `^BAD_Guest\[x\] Größe @$`, Options{}, "bad-guest-gr probe [15]"},
	} {
		var r Rule
		(&translation{name: c.filter, options: &c.options}).describe(&r, parsed(t, c.expression))
		if got := fmt.Sprint(r.Name, " ", r.Kind, " ", r.Categories); got != c.want {
			t.Errorf("%s: %s: %s, not %s", c.filter, c.expression, got, c.want)
		}
	}
}

// TestSlug says that whatever a text is, its name is one that a rule file may have.
func TestSlug(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "-": "", "a": "a", "A b": "a-b", "--a--b--": "a-b", "fail2ban-my filter.conf": "fail2ban-my-filter-conf", "ü": "", "x\n: y": "x-y",
		strings.Repeat("a", 60): strings.Repeat("a", 48), strings.Repeat("a", 47) + " b": strings.Repeat("a", 47),
	} {
		if got := slug(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// TestPrograms says which programs a filter is about.
func TestPrograms(t *testing.T) {
	known := []string{"sshd", "sshd-session", "postfix/smtpd", "postfix/submission/smtpd", "postfix/cleanup", "dovecot", "demo"}
	const untold, unsure = "programs: the filter does not say", "programs: which ones"
	for _, c := range []struct {
		name, daemon, journal string
		want                  []string
		note                  string
	}{
		{"x", "demo", "", []string{"demo"}, ""},
		{"x", " demo ", "", []string{"demo"}, ""},
		{"x", "(?:demo|other)", "", []string{"demo", "other"}, ""},
		{"x", "demo(?:-sub)?", "", []string{"demo", "demo-sub"}, ""},
		{"x", "(?i)demo", "", []string{"demo"}, ""},
		{"x", `sshd(?:-session)?`, "", []string{"sshd", "sshd-session"}, ""},
		{"x", `postfix(-\w+)?/\w+(?:/smtp[ds])?`, "", []string{"postfix/smtpd", "postfix/submission/smtpd", "postfix/cleanup"}, ""}, // as far as rules know them
		{"x", `\w+-helper`, "", []string{"x"}, unsure},
		{"x", `\w+-helper`, "_COMM=demo", []string{"demo"}, unsure},
		{"x", `(demo`, "", []string{"x"}, unsure},
		{"x", `demo(?!x)`, "", []string{"x"}, unsure},
		{"x", `\S*`, "_COMM=demo", []string{"demo"}, ""},
		{"x", `\S+`, "", []string{"x"}, untold},
		{"x", "", "SYSLOG_IDENTIFIER=demo", []string{"demo"}, ""},
		{"x", "", "SYSLOG_IDENTIFIER=postfix/smtpd", []string{"postfix/smtpd"}, ""},
		{"x", "", "_SYSTEMD_UNIT=demo.service + _COMM=demod", []string{"demod"}, ""},
		{"x", "", "_SYSTEMD_UNIT=demo.service", []string{"demo"}, ""},
		{"x", "", "_SYSTEMD_UNIT=demo@.service", []string{"demo"}, ""},
		{"x", "", "'_COMM=demo' \"_COMM=other\"\n_COMM=third _COMM=demo", []string{"demo", "other", "third"}, ""},
		{"x", "demo", "_COMM=other", []string{"other", "demo"}, ""},
		{"x", "", "PRIORITY=3", []string{"x"}, untold},
		{"demo-auth", "", "", []string{"demo"}, untold},
		{"demo-spam", "", "", []string{"demo"}, untold},
		{"nginx-botsearch", "", "", []string{"nginx"}, untold},
		{"apache-common-auth", "", "", []string{"apache"}, untold},
		{"my-filter", "", "", []string{"my-filter"}, untold},
		{"my filter", "", "", nil, untold},
		{"", "", "", nil, untold},
	} {
		var journal value
		for _, l := range strings.Split(c.journal, "\n") {
			journal = append(journal, line{text: l})
		}
		var f Filter
		f.findPrograms(c.name, c.daemon, journal, known)
		notes := strings.Join(f.Notes, "\n")
		if !slices.Equal(f.Programs, c.want) || c.note == "" && notes != "" || !strings.HasPrefix(notes, c.note) {
			t.Errorf("%+v: %q, %q", c, f.Programs, notes)
		}
	}
}
