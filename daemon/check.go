package daemon

import (
	"os"
	"slices"
	"strings"

	"tattled/detect"
	"tattled/receiver/tail"
	"tattled/report/abuseipdb"
	"tattled/setting"
)

// Checked is what Check found where there is no fault.
type Checked struct {
	Rules    int
	Samples  int
	Attacks  int    // lines that were made to blame somebody, all of them in vain
	Seed     uint64 // of what was written there
	Services []CheckedService
	Warnings []string // what is no fault and yet worth a look
}

// CheckedService is one service's part of it.
type CheckedService struct {
	Name           string
	Rules, Samples int
	Attack         detect.AttackTally
}

// Of the attack on rules. The tests try many more lines.
const (
	attackSeed  = 1
	attackLines = 1500 // for each service
)

// Check reads the configuration at path and the rules that it names, runs the rules' samples and attacks the rules: those
// of the user's files, or all. It opens no socket and no state file. Its error is Faults, with everything that is wrong.
func Check(path string, attackAll bool) (Checked, error) {
	cfg, err := ReadConfig(path)
	if err != nil {
		return Checked{}, err
	}
	rules, faults := loadRules(cfg)
	if len(faults) > 0 {
		return Checked{}, faults
	}
	tally, problems := rules.Run()
	faults = append(faults, RuleFaults(problems)...)
	attacks, problems := rules.Attack(detect.Attack{Seed: attackSeed, Lines: attackLines, User: !attackAll})
	faults = append(faults, RuleFaults(problems)...)
	faults = append(faults, senderFaults(cfg)...)
	if len(faults) > 0 {
		return Checked{}, faults
	}
	c := Checked{Seed: attackSeed}
	for i, s := range tally.Services {
		c.Services = append(c.Services, CheckedService{s.Service.Name, s.Rules, s.Samples, attacks[i]})
		c.Rules += s.Rules
		c.Samples += s.Samples
		c.Attacks += attacks[i].Lines
	}
	c.Warnings = slices.Concat(warnings(cfg), formWarnings(&cfg.Sources, rules), proxyWarnings(cfg.Rules.TrustedProxies))
	return c, nil
}

// senderFaults makes every sender, as the daemon does at its start: secrets and certificates are read.
func senderFaults(cfg *Config) Faults {
	var faults Faults
	for _, p := range senderParts() {
		if _, err := p.open(cfg, "check"); err != nil {
			name, problem, _ := strings.Cut(setting.Redact(err.Error()), ": ")
			faults = append(faults, cfg.origin.fault(name, problem))
		}
	}
	return faults
}

func warnings(cfg *Config) []string {
	var all []string
	key, _ := setting.LookUpSecret(keyCredential, cfg.Report.AbuseIPDB.KeyFile, keyVariable) // senderFaults has seen its error
	if key.IsZero() {
		all = append(all, "no AbuseIPDB key: tattled will run dry, nothing is sent")
	} else if odd := abuseipdb.OddKey(key); odd != "" {
		all = append(all, odd)
	}
	all = append(all, doubleSources(&cfg.Sources)...)
	all = append(all, tail.Doubles(cfg.Sources.Files)...)
	for _, db := range []string{cfg.GeoIP.City, cfg.GeoIP.Country, cfg.GeoIP.ASN} {
		if db == "" {
			continue
		}
		if _, err := os.Stat(db); err != nil {
			all = append(all, "geoip: "+err.Error()+": places stay unknown until it is there")
		}
	}
	return all
}
