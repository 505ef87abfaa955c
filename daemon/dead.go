package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tattled/event"
	"tattled/policy"
)

// deadSettings says, in words that begin with the setting, which settings have no effect, or another than was meant, because of what
// else is configured or is not.
func deadSettings(cfg *Config) []string {
	var all []string
	for i := range cfg.Policy {
		if p := &cfg.Policy[i]; p.Enabled == nil || *p.Enabled {
			all = append(all, deadConditions(cfg, fmt.Sprintf("policy[%d]", i), p)...)
			all = append(all, deadActions(cfg, fmt.Sprintf("policy[%d]", i), p)...)
		}
	}
	if !slices.ContainsFunc(cfg.policies(), func(p policy.Config) bool { return slices.Contains(p.Do, policy.Report.String()) }) {
		at := "policy"
		if cfg.PolicyDefaults != nil {
			at = "policy_defaults"
		}
		all = append(all, at+": no policy reports, so that nobody is reported whatever is found: write do: [report] into one, or leave policy_defaults out for those that come with tattled")
	}
	return all
}

// deadConditions is about what a policy asks for that nothing here can answer.
func deadConditions(cfg *Config, at string, p *policy.Config) []string {
	var all []string
	w, places, numbers := &p.When, cfg.GeoIP.City != "" || cfg.GeoIP.Country != "", cfg.GeoIP.ASN != ""
	for _, c := range []struct {
		setting         string
		dead, fulfilled bool
		unknown, remedy string
	}{
		{"country", len(w.Country) > 0 && !places, slices.Contains(w.Country, policy.Unknown), `every address is from "??"`, "geoip.city or geoip.country"},
		{"country_not", len(w.CountryNot) > 0 && !places, !slices.Contains(w.CountryNot, policy.Unknown), `every address is from "??"`, "geoip.city or geoip.country"},
		{"asn", len(w.ASN) > 0 && !numbers, false, "no address has a number", "geoip.asn"},
		{"asn_not", len(w.ASNNot) > 0 && !numbers, true, "no address has a number", "geoip.asn"},
	} {
		which := "no event fulfils it"
		if c.fulfilled {
			which = "every event fulfils it"
		}
		if c.dead {
			all = append(all, fmt.Sprintf("%s.when.%s: without a database %s, so that %s: set %s, or leave the condition out", at, c.setting, c.unknown, which, c.remedy))
		}
	}
	if p.Reputation != nil {
		key, err := cfg.secret(abuseIPDBKey(), cfg.abuseIPDB().KeyFile)
		if err == nil && key.IsZero() && !cfg.unseen(abuseIPDBKey()) {
			follows := "unknown: alert then sends every alert, whatever the score would be: put the key into %s, write unknown: drop, or leave the condition out"
			if p.Reputation.DropsUnknown() {
				follows = "unknown: drop then sends no alert at all: put the key into %s, or leave the condition out"
			}
			all = append(all, fmt.Sprintf("%s.reputation: without an AbuseIPDB key no score is known, and "+follows, at, keyFile(cfg)))
		}
	}
	return all
}

// deadActions is about what a policy asks to be done that nobody does.
func deadActions(cfg *Config, at string, p *policy.Config) []string {
	var all []string
	channel := slices.ContainsFunc(cfg.destinations(), func(d destination) bool { return d.action == policy.Alert })
	if slices.Contains(p.Do, policy.Alert.String()) && !channel {
		all = append(all, at+".do: there is no channel for alerts, which are counted and shown on the page and reach nobody: add alerts."+strings.Join(cfg.Alerts.names, " or alerts."))
	}
	firewall := func(k event.Kind) bool { return k == event.FirewallBlock || k == event.FirewallAccept }
	packets := len(p.When.Kind) > 0 && !slices.ContainsFunc(p.When.Kind, func(k event.Kind) bool { return !firewall(k) })
	if slices.Contains(p.Do, policy.Report.String()) && packets && !cfg.abuseIPDB().ReportUnverifiedTCP {
		all = append(all, at+".do: nothing proves who sent a packet, so that no report is made: AbuseIPDB's policy forbids it. "+
			"Write count or alert; report.abuseipdb.report_unverified_tcp: true would have packets of TCP reported")
	}
	if p.When.IsZero() && slices.ContainsFunc(policy.Defaults(), func(d policy.Config) bool { return d.Name == p.Name }) {
		all = append(all, fmt.Sprintf("%s.name: this entry replaces all of the policy %s that comes with tattled and has no when, so that it counts events of every kind: begin with a copy, from `tattled check --policies`", at, p.Name))
	}
	return all
}

// fileWarnings says, in words, which files that a source reads are not there or cannot be read. They may come later, and those who may
// read them may change; so that is not a fault.
func fileWarnings(s *source) []string {
	var all []string
	for _, path := range s.files() {
		switch err := access(path, unix.R_OK); {
		case errors.Is(err, fs.ErrNotExist):
			all = append(all, fmt.Sprintf("%s.path: %s does not exist: it is read from its beginning once it does", s.at, path))
		case errors.Is(err, fs.ErrPermission):
			all = append(all, fmt.Sprintf("%s.path: %s cannot be read (permission denied): chgrp adm %[2]s && chmod g+r %[2]s, and let that group enter its folder", s.at, path))
		}
	}
	return all
}
