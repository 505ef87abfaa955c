package policy

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"tattled/event"
	"tattled/setting"
)

// All faults come at once, each with its path and a remedy.
func TestCheckReportsEverything(t *testing.T) {
	low, high := 80, 20
	faulty := Config{
		Name: "a b", Threshold: 2000, Within: setting.Duration(time.Millisecond), Distinct: "hosts",
		When: When{
			Kind: []event.Kind{99}, Service: []string{""}, Country: []string{"be", "UK", "XX"}, CountryNot: []string{"NL"},
			ASN: []uint32{1}, ASNNot: []uint32{2}, Ports: []Ports{{}}, UserNot: []string{""},
		},
		Reputation: &Reputation{MinScore: &low, MaxScore: &high, MaxAge: setting.Duration(time.Hour)},
		Do:         []string{"report", "explode"},
	}
	got := map[string]string{}
	CheckAll([]Config{{Name: "x", Do: []string{"count"}}, faulty, {Name: "x", Threshold: 2, Do: nil}}, func(path, problem string) { got[path] = problem })
	want := []string{
		"[1].name", "[1].threshold", "[1].within", "[1].distinct", "[1].when.kind[0]", "[1].when.service[0]", "[1].when.country[0]",
		"[1].when.country[1]", "[1].when.country[2]", "[1].when.country_not", "[1].when.asn_not", "[1].when.ports[0]", "[1].when.user_not[0]",
		"[1].reputation.min_score", "[1].reputation.max_age", "[1].do[0]", "[1].do[1]", "[2].name", "[2].within", "[2].do",
	}
	slices.Sort(want)
	if paths := slices.Sorted(maps.Keys(got)); !slices.Equal(paths, want) {
		t.Errorf("got  %q\nwant %q", paths, want)
	}
	if p := got["[1].when.country[0]"]; p != `"be" must be written in capitals: BE` {
		t.Errorf("problem %q", p)
	}
}

func TestCheckBoundsTheState(t *testing.T) {
	var many []Config
	for range MaxRules + 1 {
		many = append(many, Config{Name: "x", Threshold: 1000, Within: setting.Duration(time.Hour), Do: []string{"count"}})
	}
	var whole int
	CheckAll(many, func(path, _ string) {
		if path == "" {
			whole++
		}
	})
	if whole != 2 {
		t.Errorf("%d faults of the list as a whole, want one for the number and one for the sum", whole)
	}
}

func TestDefaultsAreSound(t *testing.T) {
	CheckAll(Defaults(), func(path, problem string) { t.Errorf("%s: %s", path, problem) })
}

// Whom the defaults report over three days, and whom they do not.
func TestDefaultsKnowHonestClients(t *testing.T) {
	every := func(step time.Duration, change func(i int, e *event.Event)) []*event.Event {
		all := series(int(3*24*time.Hour/step), noon, step)
		for i, e := range all {
			e.PID = fmt.Sprint(i)
			change(i, e)
		}
		return all
	}
	account := func(n int) func(int, *event.Event) {
		return func(i int, e *event.Event) {
			e.Service, e.Rule, e.User = "dovecot", "auth-failed", fmt.Sprint("user", i%n)
		}
	}
	left := func(_ int, e *event.Event) { e.Rule, e.User, e.Weak = "left-while-authenticating", "backup", true }
	for name, c := range map[string]struct {
		events []*event.Event
		policy string
	}{
		"a phone with a stale password":             {every(3*time.Minute, account(1)), ""},
		"an office of them":                         {every(5*time.Minute, account(9)), ""},
		"a job whose key was taken off the server":  {every(time.Hour, left), ""},
		"one who guesses a password, slowly":        {every(time.Hour, func(int, *event.Event) {}), "ssh-slow-bruteforce"},
		"one who guesses a password, fast":          {every(time.Minute, func(int, *event.Event) {}), "ssh-bruteforce"},
		"one who tries the same on many accounts":   {every(30*time.Minute, account(1000)), "login-slow-bruteforce"},
		"one who tries many passwords of three":     {every(30*time.Second, account(3)), "login-bruteforce"},
		"one who tries many passwords of one":       {every(3*time.Second, account(1)), "login-hammering"},
		"a mail server with an old relay password":  {every(5*time.Second, account(1)), ""},
		"one who leaves before the password, often": {every(time.Minute, left), ""},
		"one who leaves before the password, fast":  {every(time.Second, left), "flood"},
	} {
		var got string
		for _, r := range judge(newPolicy(t, GateConfig{}, Defaults()...), c.events...) {
			if r.Destination == "abuseipdb" && got == "" {
				got = r.Policy
			}
		}
		if got != c.policy {
			t.Errorf("%s: reported by %q, not %q", name, got, c.policy)
		}
	}
}

func TestPorts(t *testing.T) {
	for text, want := range map[string]Ports{"22": {22, 22}, "8000-8100": {8000, 8100}, "1 - 65535": {1, 65535}} {
		var p Ports
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "65536", "10-5", "ssh", "1-2-3"} {
		if err := new(Ports).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}
