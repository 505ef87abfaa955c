package daemon

import (
	"tattled/detect"
	"tattled/detect/attack"
	"tattled/event"
	"tattled/geoip"
	"tattled/policy"
	"tattled/receiver"
)

// Explainer says what the daemon would make of single log records, stage by stage. It opens nothing but the files that
// the configuration names, keeps no state and sends nothing. One goroutine uses it at a time.
type Explainer struct {
	cfg      *Config
	bare     bool // there is no configuration
	detector *detect.Explainer
	whole    *detect.Rules // with the rules that the configuration disables
	gate     *policy.Gate
	policy   *policy.Policy
	policies []policy.Config
	pipeline *pipeline
	reader   Reader
	forms    map[string]*detect.Form // of access logs, by source
}

// Explained is what each stage makes of a record.
type Explained struct {
	Detection detect.Explanation
	// Disabled is the rule that would have matched if the configuration did not disable it; nil for none.
	Disabled *detect.Rule

	// The rest is set where a rule matched.

	Event    *event.Event
	Trusted  bool           // its address lies in a trusted network: nothing follows
	Ordinary bool           // it is a packet that counts against nobody
	Refusal  policy.Refusal // why it must not lead to a report; None if it may
	Because  string         // the same for a person, as the end of "it is not reported, because ..."
	Policies []ExplainedPolicy
}

// ExplainedPolicy is what one policy makes of an event by itself.
type ExplainedPolicy struct {
	policy.Explanation
	Config policy.Config
}

// NewExplainer reads the configuration at path; with "" the shipped defaults hold. Its error is Faults.
func NewExplainer(path string) (*Explainer, error) { return shippedParts().explainer(path) }

func (t *table) explainer(path string) (*Explainer, error) {
	cfg := t.config()
	if path != "" {
		var err error
		if cfg, err = t.read(path); err != nil {
			return nil, err
		}
	}
	rules, faults := loadRules(cfg)
	if len(faults) > 0 {
		return nil, faults
	}
	x := &Explainer{cfg: cfg, bare: path == "", detector: detect.NewExplainer(rules), whole: rules, gate: newGate(cfg, nil), policies: cfg.policies()}
	if len(cfg.Rules.Disable) > 0 {
		all := *cfg
		all.Rules.Disable = nil
		if x.whole, faults = loadRules(&all); len(faults) > 0 {
			return nil, faults
		}
	}
	if own, err := ownAddresses(); err == nil {
		x.gate.SetOwn(own)
	}
	if books, faults := openBooks(cfg); len(faults) == 0 { // who asks may not be allowed to read the files
		newTrust(nil).publish(&engine{config: cfg, gate: x.gate, books: books}) // names are not looked up here
	}
	x.policy = newPolicy(cfg, x.gate, nil, nil)
	places := geoip.New(cfg.GeoIP)
	_ = places.Load() // a place that cannot be looked up is unknown, as it would be to the daemon
	x.pipeline, x.forms = &pipeline{places: places}, cfg.forms()
	return x, nil
}

// Sources lists the names of the configured sources; without a configuration, that is the journal.
func (x *Explainer) Sources() []string {
	if x.bare {
		return []string{"journal"}
	}
	return x.cfg.names()
}

// Source returns the name that the records of a configured source carry; name is that, or for a log file its path.
func (x *Explainer) Source(name string) (source string, known bool) {
	if x.bare && name == "journal" {
		return name, true
	}
	s, known := x.source(name)
	return s.name, known
}

func (x *Explainer) source(name string) (source, bool) {
	for _, s := range x.cfg.sources() {
		if name == s.name || name == s.alias && name != "" {
			return s, true
		}
	}
	return source{}, false
}

// Trust returns the trust that the configuration gives to records of a source. For a source that decides by the peer it is that of the
// peers that it trusts most, and condition says which those are, as the end of a sentence that begins with "if". A source that is not
// configured is one that is trusted.
func (x *Explainer) Trust(source string) (trust event.Trust, condition string) {
	if s, known := x.source(source); known {
		return s.trust, s.condition
	}
	return event.TrustReport, ""
}

// form returns the form of an access log that the configuration declares for a source, which is named as in the configuration
// (the path of a file) or as the daemon names it; nil if it declares none.
func (x *Explainer) form(source string) *detect.Form {
	if s, known := x.source(source); known {
		source = s.name
	}
	return x.forms[source]
}

// Explain says what becomes of a record that came in b. It makes r what the rules are shown in the end: see Reader.
func (x *Explainer) Explain(r *receiver.Record, b *receiver.Batch) Explained {
	x.reader.Read(x.whole, r, b, x.form(b.Source), new(detect.Finding))
	known := detect.Known{Cut: r.Cut, Form: x.form(b.Source)}
	e := Explained{Detection: x.detector.ExplainKnown(r.Program, r.Message, known)}
	var f detect.Finding
	if x.whole.DetectKnown(r.Program, r.Message, known, &f); f.Rule != nil && e.Detection.Verdict == detect.Ignored {
		e.Disabled = f.Rule
	}
	if e.Detection.Verdict != detect.Matched {
		return e
	}
	e.Trusted = x.gate.Trusts(e.Detection.Finding.Addr)
	e.Detection.Finding.Addr = policy.Peer(e.Detection.Finding.Addr)
	ev := x.pipeline.event(&scratch{finding: e.Detection.Finding}, r, b)
	e.Event = &ev
	e.Ordinary, e.Refusal = x.gate.Ordinary(&ev), x.gate.Refuse(&ev)
	if e.Trusted {
		e.Refusal = policy.Trusted
	}
	e.Because = x.gate.Because(e.Refusal, ev.Addr)
	for i, one := range x.policy.Explain(&ev) {
		e.Policies = append(e.Policies, ExplainedPolicy{one, x.policies[i]})
	}
	return e
}

// RuleAttack is how Check attacks the rules of the user's files: for tools that write some.
func RuleAttack() attack.Options {
	return attack.Options{Seed: attackSeed, Lines: attackLines, User: true}
}
