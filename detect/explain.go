package detect

import (
	"net/netip"
	"slices"
	"strings"

	"tattled/detect/parse"
	"tattled/detect/pattern"
	"tattled/detect/rulefile"
	"tattled/detect/weblog"
	"tattled/setting"
)

// Explainer says why Detect judges a message as it does. It compiles every pattern a second time, by itself and as Detect
// has it, and tries each on the whole message, so that it can tell of all ways to read it and of the nearest miss. It is
// for people who ask: a message takes it a thousand times as long as it takes Detect. One goroutine uses it at a time.
type Explainer struct {
	rules    *Rules
	patterns map[*Service][]explained
	indexes  map[*Service]*pattern.Index // of the services that patterns has: see compile
	reach    pattern.Reach
}

// explained is one variant and the text that it was written as.
type explained struct {
	pattern.Variant
	rule *Rule
	text rulefile.Text
}

// NewExplainer makes an explainer for rules that Load returned.
func NewExplainer(r *Rules) *Explainer {
	return &Explainer{rules: r, patterns: map[*Service][]explained{}, indexes: map[*Service]*pattern.Index{}}
}

// compile compiles a service's patterns when they are first needed.
func (x *Explainer) compile(s *Service) {
	if x.indexes[s] != nil {
		return
	}
	var patterns []explained
	for _, rule := range slices.Concat(x.rules.rulesOf(s), s.shadow) {
		for _, p := range rule.match {
			made, _ := pattern.Compile(p.Value, rule.owner(), s.frame) // one with a fault matches nothing: Load and Run tell of it
			for _, v := range made {
				patterns = append(patterns, explained{v, rule, p})
			}
		}
		for _, p := range rule.regex {
			if v, err := pattern.CompileExpression(p.Value, rule.owner()); err == nil {
				patterns = append(patterns, explained{*v, rule, p})
			}
		}
	}
	variants := make([]*pattern.Variant, len(patterns))
	for i := range patterns {
		variants[i] = &patterns[i].Variant
		variants[i].None = false // all are asked about every message
	}
	x.patterns[s], x.indexes[s] = patterns, pattern.NewIndex(s.frame, variants)
}

// Explanation is what Detect made of a message, and why. Bytes and texts in it may be of the message: its sender chose
// them.
type Explanation struct {
	Verdict Verdict
	Finding Finding // as Detect fills it in

	Services []*Service // which know the program
	Message  []byte     // what the rules were shown: lent, a part of the message
	Skipped  int        // bytes of the message before Message
	Repeated bool       // rsyslog's "message repeated 3 times: [ ]" was taken off

	// Ways are all ways to read the message, at most pattern.MaxWays, in the order of the rules, those that are disabled last. The
	// first one names the rule, unless that is disabled.
	Ways []Way
	// Parsed is what the services' parsers made of the message.
	Parsed []Parsed
	// Nearest is the pattern that came closest; nil where one matched, or where none has anything in common with it.
	Nearest *Nearest
	// Similar are known programs whose name is nearly that of the message, where no service knows it.
	Similar []string
	// Elsewhere is what the message would be if another program had logged it, where it is ignored.
	Elsewhere []Elsewhere
}

// Way is one way to read a message.
type Way struct {
	Rule    *Rule
	Pattern string     // as the rule file has it; "" for a parser's rule, and for a message that is too long for its service
	Line    int        // of the pattern in Rule.Service.File
	Peer    string     // what stands where the address belongs
	Addr    netip.Addr // of Peer; the zero address where Refusal says why it is none
	Refusal Refusal
}

// Parsed is what a parser that takes the place of patterns made of a message.
type Parsed struct {
	Service *Service
	parse.Parsed
}

// Nearest is the pattern that has most in common with a message that none matches.
type Nearest struct {
	Rule     *Rule
	Pattern  string // as the rule file has it
	Line     int    // of the pattern in Rule.Service.File
	At       int    // where in Explanation.Message they part; its length if it ends too early
	Expected string // what the pattern has there: text in quotes, a <field> or an expression; "" for its end

	miss pattern.Miss
}

// Elsewhere is what a message would be as another program's.
type Elsewhere struct {
	Program string
	Verdict Verdict
	Rule    *Rule
}

// Explain judges one message of program, as Detect does, and says why.
func (x *Explainer) Explain(program, message []byte) Explanation {
	return x.ExplainKnown(program, message, Known{})
}

// ExplainKnown is Explain for a message of which more is known.
func (x *Explainer) ExplainKnown(program, message []byte, known Known) Explanation {
	var e Explanation
	e.Verdict = x.rules.DetectKnown(program, message, known, &e.Finding)
	e.Message = unwrapRepeated(message)
	if e.Repeated = len(e.Message) != len(message); e.Repeated {
		e.Skipped = len(message) - len("]") - len(e.Message)
	}
	if p := x.rules.programs.find(program); p != nil {
		if !p.access {
			known.Form = nil
		}
		for _, s := range p.matcher.services {
			if s.Index < len(x.rules.services) {
				e.Services = append(e.Services, s)
			}
			x.service(s, message, known, &e)
		}
	}
	if f := &e.Finding; f.Refusal == TooLong && len(e.Ways) == 0 { // longer than its service writes: there is no end to read it to
		e.Ways = append(e.Ways, Way{Rule: f.Rule, Line: f.Rule.Line, Refusal: TooLong})
	}
	slices.SortStableFunc(e.Ways, func(a, b Way) int { return min(b.Rule.Index, 0) - min(a.Rule.Index, 0) })
	if e.Verdict != Ignored {
		e.Nearest = nil
		return e
	}
	if len(e.Services) == 0 {
		e.Similar = x.rules.Similar(string(program))
	}
	e.Elsewhere = x.elsewhere(e.Services, message)
	return e
}

// service adds what one service makes of the message.
func (x *Explainer) service(s *Service, message []byte, known Known, e *Explanation) {
	if len(e.Message) == 0 || s.longest > 0 && len(message) > s.longest {
		return
	}
	if known != (Known{}) {
		switch reads := s.parser.(type) {
		case *weblog.Access:
			x.addParsed(s, reads.JudgeKnown(e.Message, known), reads.ExplainKnown(e.Message, known), e)
		case *weblog.JSON:
			if known.Form == nil {
				x.addParsed(s, reads.JudgeKnown(e.Message, known), reads.ExplainKnown(e.Message, known), e)
			}
		}
		return
	}
	stamp := 0
	if s.stamped {
		stamp = new(Stamp).Take(e.Message)
	}
	if s.parser != nil {
		x.parsed(s, e.Message[stamp:], e)
		return
	}
	x.compile(s)
	all := x.framings(s, e.Message, stamp)
	if e.Repeated {
		all = append(all, x.framings(s, message, 0)...)
	}
	if len(all[0].Text) == 0 {
		return
	}
	skipped := stamp
	if before := all[0].Before; before > 0 {
		skipped += len(s.frame.Before[before-1])
	}
	for i := range x.patterns[s] {
		p := &x.patterns[s][i]
		miss := x.tryPattern(p, s, all, e)
		if miss.IsNear() && p.rule.Index >= 0 && (e.Nearest == nil || miss.Closer(&e.Nearest.miss)) {
			e.Nearest = &Nearest{Rule: p.rule, Pattern: p.text.Value, Line: p.text.Line, At: miss.At + skipped, Expected: miss.Expected, miss: miss}
		}
	}
}

// framings lists in what ways the patterns are shown a message that begins with a stamp of so many bytes. The first one
// is without all that may stand around a message.
func (x *Explainer) framings(s *Service, message []byte, stamp int) []pattern.Framed {
	var with, without [4]pattern.Framed
	u := x.indexes[s]
	all := without[:u.Framings(message[stamp:], &without)]
	if stamp > 0 && u.Headless() {
		all = append(all, with[:u.Framings(message, &with)]...)
	}
	return all
}

// tryPattern adds every way to read the message by a pattern, or returns where the first of its framings and the pattern
// part.
func (x *Explainer) tryPattern(p *explained, s *Service, all []pattern.Framed, e *Explanation) pattern.Miss {
	var near pattern.Miss
	for i := range all {
		m := &all[i]
		if i > 0 && !p.Fits(m) {
			continue
		}
		n := x.tryFramed(p, s, m, e)
		if i == 0 {
			near = n
		}
	}
	return near
}

func (x *Explainer) tryFramed(p *explained, s *Service, m *pattern.Framed, e *Explanation) pattern.Miss {
	peers, miss := x.reach.Try(&p.Variant, s.frame, m)
	for _, peer := range peers {
		e.addWay(p, m.Text, peer)
	}
	return miss
}

// addWay adds a way to read the message, once.
func (e *Explanation) addWay(p *explained, m []byte, peer string) {
	if p.rule.Kind == 0 && parse.NoPeer([]byte(peer)) {
		return
	}
	w := Way{Rule: p.rule, Pattern: p.text.Value, Line: p.text.Line, Peer: peer}
	var ok bool
	if w.Addr, ok = parse.Addr([]byte(peer)); !ok {
		w.Refusal = parse.RefusalOf([]byte(peer))
	} else if p.TooLong(m) {
		w.Addr, w.Refusal = netip.Addr{}, TooLong
	}
	if !slices.Contains(e.Ways, w) && len(e.Ways) < pattern.MaxWays {
		e.Ways = append(e.Ways, w)
	}
}

// elsewhere tries every service that does not know the program.
func (x *Explainer) elsewhere(but []*Service, message []byte) []Elsewhere {
	var all []Elsewhere
	var f Finding
	for _, s := range x.rules.services {
		if slices.Contains(but, s) {
			continue
		}
		if v := x.rules.Detect([]byte(s.Programs[0]), message, &f); v != Ignored && f.Service == s {
			all = append(all, Elsewhere{s.Programs[0], v, f.Rule})
		}
	}
	return all
}

// Similar returns the known programs that a person may have meant by program, the nearest first, three at most.
func (r *Rules) Similar(program string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var all []candidate
	low := strings.ToLower(program)
	for _, s := range r.services {
		for _, name := range s.Programs {
			other := strings.ToLower(name)
			distance := setting.EditDistance(low, other)
			if within := len(low) >= 3 && len(other) >= 3 && (strings.Contains(low, other) || strings.Contains(other, low)); within {
				distance = min(distance, 2)
			}
			if distance <= min(2, len(low)/2) && !slices.ContainsFunc(all, func(c candidate) bool { return c.name == name }) {
				all = append(all, candidate{name, distance})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return a.distance - b.distance })
	var names []string
	for _, c := range all[:min(len(all), 3)] {
		names = append(names, c.name)
	}
	return names
}

// parsed adds what the service's parser makes of the message, its stamp aside.
func (x *Explainer) parsed(s *Service, message []byte, e *Explanation) {
	x.addParsed(s, s.parser.Judge(message), s.parser.Explain(message), e)
}

// addParsed adds what a parser read.
func (x *Explainer) addParsed(s *Service, r parse.Result, p parse.Parsed, e *Explanation) {
	if r.Found {
		w := Way{Rule: x.rules.rules[r.Rule], Peer: p.Peer, Addr: r.Addr, Refusal: r.Refusal}
		if r.Ambiguous {
			w.Refusal = Ambiguous
		}
		if len(e.Ways) < pattern.MaxWays {
			e.Ways = append(e.Ways, w)
		}
	} else if p.Failed == "" {
		p.Failed = "the rule for it is disabled"
	}
	e.Parsed = append(e.Parsed, Parsed{s, p})
}
