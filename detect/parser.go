package detect

import (
	"slices"
	"strings"

	"tattled/detect/packet"
	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/detect/weblog"
)

// parser reads the lines of a service whose form says where everything stands, in place of patterns. Like a pattern it
// takes any bytes, needs linear time, allocates nothing, and takes the peer from where its program writes it.
type parser interface {
	// Bind is called once, before Judge, with the service's rules that are left when the operator's choice is done. They
	// are numbered by now.
	Bind(rules []parse.Rule)
	// Judge returns what the message says by one of the rules, if by any.
	Judge(message []byte) parse.Result
	// Explain says what is read of a message and, where no rule can match, why; for people, as Explainer is. The service
	// and what is not the parser's are set by the caller.
	Explain(message []byte) parse.Parsed
}

// newParsers are the parsers by name. Each function checks the file's form as far as only that parser can tell.
var newParsers = map[string]func(form *rulefile.File, o *Options, f *rulefile.Faults) parser{
	accessParser: func(form *rulefile.File, o *Options, f *rulefile.Faults) parser {
		return weblog.NewAccess(form, o.TrustedProxies, f)
	},
	jsonParser: func(form *rulefile.File, o *Options, f *rulefile.Faults) parser {
		return weblog.NewJSON(form, o.TrustedProxies, f)
	},
	"filterlog": func(form *rulefile.File, _ *Options, f *rulefile.Faults) parser { return packet.NewFilterlog(form, f) },
	"mikrotik": func(form *rulefile.File, o *Options, f *rulefile.Faults) parser {
		return packet.NewMikrotik(form, o.Netfilter, f)
	},
	"netfilter": func(form *rulefile.File, o *Options, f *rulefile.Faults) parser {
		return packet.NewNetfilter(form, o.Netfilter, f)
	},
}

// The names of parsers in rule files, as far as anything goes by them: for access logs, and for objects.
const (
	accessParser = "access"
	jsonParser   = "json"
)

// prefilters are cheap looks at a message, by the name of a parser: false if the parser is sure to find nothing in it. A
// service whose parser has one is read when a message first passes.
var prefilters = map[string]func(message []byte) bool{
	accessParser: weblog.BeginsDate,
	jsonParser:   weblog.BeginsObject,
	"netfilter":  packet.NamesValue,
}

// parser makes the service's parser, and checks that its rules fit it.
func (l *loader) parser(form *rulefile.File, s *Service, rules []*Rule, f *rulefile.Faults) {
	name := form.Parser.Value
	if name == "" {
		checkPatterns(form, rules, f)
		return
	}
	newParser := newParsers[name]
	if newParser == nil {
		f.Add(form.Parser.Line, "parser: there is no parser %q (there are %s)", name, listed(newParsers))
		return
	}
	if form.Before != nil || form.After != nil {
		f.Add(form.Parser.Line, "parser: before and after are for patterns: leave them out")
	}
	for i, r := range rules {
		if len(r.match)+len(r.regex) > 0 {
			f.Add(r.Line, "rule %q: a rule of the %s parser has no patterns", form.Rules[i].Name.Value, name)
		}
	}
	s.parser = newParser(form, &l.options, f)
}

// checkPatterns checks that the rules of a service without a parser have patterns, and nothing that is a parser's.
func checkPatterns(form *rulefile.File, rules []*Rule, f *rulefile.Faults) {
	if len(form.Fields.All) > 0 {
		f.Add(form.Fields.Line, "fields: they are for parser: json")
	}
	for i, r := range rules {
		if len(r.match)+len(r.regex) == 0 {
			f.Add(r.Line, "rule %q matches nothing: write match:", r.Name)
		}
		form.Rules[i].NoConditions(f)
	}
}

// listed names the keys of a table, in order.
func listed[V any](table map[string]V) string {
	var names []string
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
