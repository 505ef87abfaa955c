package daemon

import (
	"slices"
	"sync/atomic"

	"tattled/daemon/trusted"
	"tattled/detect"
	"tattled/event"
	"tattled/policy"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/setting"
)

// engine is everything that a reload rebuilds, as one immutable value behind one atomic pointer (Daemon.live): whoever loads it has one
// configuration, and never a part of two. (What its gate knows of this machine's addresses and of who is trusted is kept up to date, and
// files of trusted addresses and GeoIP databases are followed when they change.)
type engine struct {
	config  *Config // what is in effect: sections that need a restart are as they were at start
	books   books   // files and names of who is trusted
	policy  *policy.Policy
	senders map[string]report.Sender // by destination

	rules   *detect.Rules
	gate    *policy.Gate
	matched []*atomic.Uint64        // by Rule.Index
	missed  []*atomic.Uint64        // by Service.Index: lines of a known program that matched nothing
	refused []*refusals             // by Service.Index
	forms   map[string]*detect.Form // of access logs, by source

	feedToken setting.Secret // that clients of the feed must send

	driftLines uint64 // how many of those in a row raise the alarm; 0 for never
}

// prepare makes the engine of a configuration. Nothing is changed if it fails; its error is Faults where rules or secrets are at fault.
func (d *Daemon) prepare(cfg *Config) (*engine, error) {
	rules, faults := loadRules(cfg)
	if len(faults) > 0 {
		return nil, faults
	}
	own, err := ownAddresses()
	if err != nil {
		return nil, err
	}
	senders, faults := openDestinations(cfg, d.options.Version)
	if len(faults) > 0 {
		return nil, faults
	}
	token, err := cfg.readFeedToken()
	if err != nil {
		return nil, Faults{cfg.origin.located(err.Error())}
	}
	books, faults := openBooks(cfg)
	if len(faults) > 0 {
		return nil, faults
	}
	gate := newGate(cfg, d.sharedHit)
	gate.SetOwn(own)
	e := newEngine(cfg, rules, gate, d.tally)
	e.books = books
	d.trust.publish(e)
	d.trust.admit(e)
	e.senders, e.feedToken = senders, token
	e.policy = newPolicy(cfg, gate, d.counters, dryRuns(senders))
	return e, nil
}

// newEngine makes an engine that detects, and neither judges nor sends.
func newEngine(cfg *Config, rules *detect.Rules, gate *policy.Gate, t *tally) *engine {
	e := &engine{config: cfg, rules: rules, gate: gate, driftLines: cfg.Rules.driftLines()}
	e.matched, e.missed, e.refused = t.forRules(rules)
	e.forms = cfg.forms()
	return e
}

// newGate makes the gate of a configuration; onHit is policy.GateConfig's.
func newGate(cfg *Config, onHit func(policy.Hit)) *policy.Gate {
	return policy.NewGate(policy.GateConfig{
		Trusted:              slices.Concat(trusted.Networks(cfg.Trusted), cfg.Rules.TrustedProxies), // an error log names a proxy as the peer
		ReportUnverifiedTCP:  cfg.abuseIPDB().ReportUnverifiedTCP,
		ReportInfrastructure: cfg.abuseIPDB().ReportInfrastructure,
		RegularPorts:         cfg.RegularPorts,
		RegularAcceptPorts:   cfg.RegularAcceptPorts,
		OnHit:                onHit,
	})
}

func newPolicy(cfg *Config, gate *policy.Gate, counters *policy.Counters, dry map[string]bool) *policy.Policy {
	return policy.New(cfg.policies(), gate, told(cfg, dry), counters)
}

// mayTell is asked before every attempt to send r, because much may have changed since it was judged: trusted networks, this
// machine's addresses, the policies. It returns why r must not be sent, "" if it may.
func (e *engine) mayTell(r *event.Report) string {
	refusal, alert := e.gate.RefuseAddr(r.Addr), e.destination(r.Destination).action == policy.Alert
	if !alert {
		refusal = e.gate.RefuseReport(r.Addr, r.Kind)
	}
	switch {
	case refusal == policy.None:
		return ""
	case alert && !refusal.Internal():
		return ""
	case alert && refusal != policy.Trusted && e.policy.Private(r.Policy):
		return ""
	}
	return "not sent, because " + e.gate.Because(refusal, r.Addr)
}

// destination returns the one of that name, the zero value if there is none.
func (e *engine) destination(name string) destination {
	for _, d := range e.config.destinations() {
		if d.name == name {
			return d
		}
	}
	return destination{}
}

// abuseIPDB returns the client of AbuseIPDB.
func (e *engine) abuseIPDB() *abuseipdb.Client {
	c, _ := e.senders[abuseipdb.Destination].(*abuseipdb.Client)
	return c
}
