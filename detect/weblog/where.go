package weblog

import (
	"bytes"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
)

// Bounds of what the rules of one service may ask for.
const (
	maxConditionRules = 256
	maxGlobs          = 4096 // of one field
	// maxCompared is how much of a field is compared, in bytes. It bounds the work that a peer can make by a long text, and
	// the room that a decoded one needs.
	maxCompared = 2048
)

// ruleSet is a set of a service's rules, by their number in the service.
type ruleSet [maxConditionRules / 64]uint64

func (s *ruleSet) put(rule int) { s[rule/64] |= 1 << (rule % 64) }

func (s *ruleSet) empty() bool { return *s == ruleSet{} }

// first returns the smallest number in a set that is not empty.
func (s *ruleSet) first() int {
	i := 0
	for s[i] == 0 {
		i++
	}
	return i*64 + bits.TrailingZeros64(s[i])
}

func (s *ruleSet) add(o *ruleSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *ruleSet) keep(o *ruleSet) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s *ruleSet) drop(o *ruleSet) {
	for i := range s {
		s[i] &^= o[i]
	}
}

func (s *ruleSet) meets(o *ruleSet) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// conditions are what the rules of one service ask of the fields of a line (where: and not:), in a form in which all of
// them are judged together. A line begins with all rules, and each field takes away those that it does not suit:
//
//	status, method -> sets from tables -> path -> query ... -> the first of what is left
type conditions struct {
	rules    []int32     // their numbers in All, by their number in the file
	statuses [600]uint16 // number in byStatus; at 0 for a status that cannot be
	byStatus []ruleSet   // rules that it suits
	methods  []methodRules
	other    ruleSet // rules that a method suits which no rule names
	fields   []fieldRules
	names    []string // of fields, which are numbered in this order
	fetchers *globs   // agents that fetch what others link to; nil without
}

type methodRules struct {
	name string
	set  ruleSet
}

// fieldRules are the conditions on one text.
type fieldRules struct {
	where ruleSet // rules that ask for one of several globs
	any   ruleSet // rules that have any condition on the field
	globs *globs
}

// newConditions reads the conditions of rules. names are the fields with text that there are, tables which of status and
// method.
func newConditions(form *rulefile.File, names, tables []string, f *rulefile.Faults) *conditions {
	c := &conditions{names: names, fields: make([]fieldRules, len(names))}
	if len(form.Rules) > maxConditionRules {
		f.Add(form.Parser.Line, "parser: %s takes %d rules at most: make it several services", form.Parser.Value, maxConditionRules)
		return c
	}
	for i := range form.Rules {
		r := &form.Rules[i]
		if len(r.Where.All) == 0 {
			f.Add(r.Line(), "rule %q matches nothing: write where:", r.Name.Value)
		}
		for _, one := range slices.Concat(r.Where.All, r.Not.All) {
			if all := slices.Concat(names, tables); !slices.Contains(all, one.Name.Value) {
				f.Add(one.Name.Line, "no such field: %s (there are %s)", one.Name.Value, strings.Join(all, ", "))
			}
		}
	}
	c.setFetchers(form, f)
	c.setStatuses(form.Rules, f)
	c.setMethods(form.Rules, f)
	for i, name := range names {
		c.fields[i] = newFieldRules(form.Rules, name)
		if len(c.fields[i].globs.all) > maxGlobs {
			f.Add(form.Parser.Line, "parser: the rules have more than %d values for %s: make it several services", maxGlobs, name)
		}
	}
	return c
}

// suited returns the rules whose conditions on a field a value suits.
func suited(rules []rulefile.Rule, field, value string, fits func(pattern, value string) bool) (set ruleSet) {
	for i := range rules {
		one := func(t rulefile.Text) bool { return fits(t.Value, value) }
		where := rules[i].Where.Values(field)
		if (where == nil || slices.ContainsFunc(where, one)) && !slices.ContainsFunc(rules[i].Not.Values(field), one) {
			set.put(i)
		}
	}
	return set
}

func (c *conditions) setStatuses(rules []rulefile.Rule, f *rulefile.Faults) {
	named := map[string]bool{}
	for i := range rules {
		for _, t := range slices.Concat(rules[i].Where.Values("status"), rules[i].Not.Values("status")) {
			if !isStatus(t.Value) {
				f.Add(t.Line, "status: %q is neither a status nor a class like 4xx", t.Value)
			}
			named[t.Value] = true
		}
	}
	last := -1 // the last one that no rule names: the others of its class are like it
	for status := range c.statuses {
		value := strconv.Itoa(status)
		if !named[value] {
			if last >= 0 && last/100 == status/100 {
				c.statuses[status] = c.statuses[last]
				continue
			}
			last = status
		}
		set := suited(rules, "status", value, func(pattern, value string) bool {
			return pattern == value || len(pattern) == 3 && pattern[1:] == "xx" && len(value) == 3 && pattern[0] == value[0]
		})
		n := slices.Index(c.byStatus, set)
		if n < 0 {
			n = len(c.byStatus)
			c.byStatus = append(c.byStatus, set)
		}
		c.statuses[status] = uint16(n)
	}
}

// setFetchers reads the agents whose requests are weak.
func (c *conditions) setFetchers(form *rulefile.File, f *rulefile.Faults) {
	if len(form.Fetchers) == 0 {
		return
	}
	if !slices.Contains(c.names, "agent") {
		f.Add(form.Fetchers[0].Line, "fetchers: they are recognized by a field with the name agent, which fields: does not have")
		return
	}
	all := make([]glob, len(form.Fetchers))
	for i, t := range form.Fetchers {
		all[i] = newGlob(t.Value)
		all[i].where.put(0)
	}
	c.fetchers = newGlobs(all)
}

// fetched reports whether a request says that it is made because somebody else links to its target.
func (c *conditions) fetched(method, agent []byte, how coding) bool {
	if c.fetchers == nil || agent == nil || string(method) != "GET" && string(method) != "HEAD" {
		return false
	}
	var set, where, not ruleSet
	set.put(0)
	if how.plain(agent) && !c.fetchers.mayFit(agent[:min(len(agent), maxCompared)], &set) {
		return false
	}
	c.fetchers.compare(&set, agent, how, &where, &not)
	return !where.empty()
}

// isStatus reports whether a text is a status of HTTP, or a class of them.
func isStatus(s string) bool {
	if len(s) != 3 || s[0] < '1' || s[0] > '5' {
		return false
	}
	return s[1:] == "xx" || s[1]-'0' <= 9 && s[2]-'0' <= 9
}

func (c *conditions) setMethods(rules []rulefile.Rule, f *rulefile.Faults) {
	equal := func(pattern, value string) bool { return pattern == value }
	for i := range rules {
		for _, t := range slices.Concat(rules[i].Where.Values("method"), rules[i].Not.Values("method")) {
			if !isMethod(t.Value) {
				f.Add(t.Line, "method: %q is not a method: write it as the log has it, without a star", t.Value)
			}
			if !slices.ContainsFunc(c.methods, func(m methodRules) bool { return m.name == t.Value }) {
				c.methods = append(c.methods, methodRules{t.Value, suited(rules, "method", t.Value, equal)})
			}
		}
	}
	c.other = suited(rules, "method", "", equal)
}

// isMethod reports whether a text may be a method of HTTP. Case matters in them.
func isMethod(s string) bool {
	return s != "" && len(s) <= maxMethod && !strings.ContainsFunc(s, func(r rune) bool { return r > 127 || !methodByte(byte(r)) })
}

// maxMethod bounds a method in bytes: UPDATEREDIRECTREF has 17.
const maxMethod = 20

func methodByte(c byte) bool { return (c|0x20)-'a' < 26 || c == '-' || c == '_' }

func newFieldRules(rules []rulefile.Rule, field string) fieldRules {
	most := 0
	for i := range rules {
		most += len(rules[i].Where.Values(field)) + len(rules[i].Not.Values(field))
	}
	var r fieldRules
	all := make([]glob, 0, most)
	numbers := make(map[string]int, most)
	take := func(values []rulefile.Text, put func(g *glob)) {
		for _, t := range values {
			n, known := numbers[t.Value]
			if !known {
				n = len(all)
				numbers[t.Value] = n
				all = append(all, newGlob(t.Value))
			}
			put(&all[n])
		}
	}
	for i := range rules {
		where, not := rules[i].Where.Values(field), rules[i].Not.Values(field)
		if where != nil {
			r.where.put(i)
		}
		if where != nil || not != nil {
			r.any.put(i)
		}
		take(where, func(g *glob) { g.where.put(i) })
		take(not, func(g *glob) { g.not.put(i) })
	}
	r.globs = newGlobs(all)
	return r
}

// bind is told which rules there are. The others suit nothing.
func (c *conditions) bind(all []parse.Rule, form *rulefile.File) {
	var left ruleSet
	c.rules = make([]int32, min(len(form.Rules), maxConditionRules))
	for i := range c.rules {
		if n := slices.IndexFunc(all, func(r parse.Rule) bool { return r.Name == form.Rules[i].Name.Value }); n >= 0 {
			left.put(i)
			c.rules[i] = int32(all[n].Index)
		}
	}
	for i := range c.byStatus {
		c.byStatus[i].keep(&left)
	}
}

// begin returns the rules that a status and a method suit.
func (c *conditions) begin(status int, method []byte) (set ruleSet) {
	if uint(status) >= uint(len(c.statuses)) {
		status = 0
	}
	set = c.byStatus[c.statuses[status]]
	for i := range c.methods {
		if c.methods[i].name == string(method) {
			set.keep(&c.methods[i].set)
			return set
		}
	}
	set.keep(&c.other)
	return set
}

// narrow takes the rules out of set that a field does not suit. A field that the line does not have (nil) suits no rule
// that asks for one of its values.
func (c *conditions) narrow(set *ruleSet, field int, text []byte, how coding) {
	f := &c.fields[field]
	if !set.meets(&f.any) {
		return
	}
	if text == nil || how.plain(text) && !f.globs.mayFit(text[:min(len(text), maxCompared)], set) {
		set.drop(&f.where)
		return
	}
	var where, not ruleSet
	f.globs.compare(set, text, how, &where, &not)
	missed := f.where
	missed.drop(&where)
	set.drop(&missed)
	set.drop(&not)
}

// narrowPath is narrow for a path. One with dots in it is compared as it is and as the server resolves it, "/a/../.env" as
// "/.env", and suits a rule in either way: what a rule excludes, such as a folder of a forge, must be there when the path is
// resolved.
func (c *conditions) narrowPath(set *ruleSet, field int, path []byte, how coding) {
	resolved := *set
	c.narrow(set, field, path, how)
	if bytes.Contains(path, []byte("/.")) || bytes.IndexByte(path, '%') >= 0 {
		c.narrow(&resolved, field, path, how|dots)
		set.add(&resolved)
	}
}

// compare puts into where and not the rules whose globs a text fits. It has a function of its own because few lines get here,
// and it needs room.
//
//go:noinline
func (g *globs) compare(set *ruleSet, text []byte, how coding, where, not *ruleSet) {
	var room [maxCompared]byte
	decoded := how.decode(room[:copy(room[:], text)])
	foldASCII(decoded)
	g.match(decoded, set, where, not)
}

// coding says how a field is written, and so what is undone before it is compared.
type coding uint8

const (
	escaped coding = 1 << iota // \" \\ \xHH, as servers write what would break their line
	percent                    // %HH
	plus                       // a plus sign for a space
	slashes                    // several slashes for one
	inJSON                     // escapes of JSON, of which there is one
	dots                       // segments of a path that are . or ..
	hashes                     // #HH, as HAProxy writes what would break its line
)

// plain reports whether nothing is to be undone, letters in upper case aside.
func (how coding) plain(text []byte) bool {
	return how&(inJSON|dots) == 0 && (how&escaped == 0 || bytes.IndexByte(text, '\\') < 0) &&
		(how&hashes == 0 || bytes.IndexByte(text, '#') < 0) &&
		(how&percent == 0 || bytes.IndexByte(text, '%') < 0) &&
		(how&plus == 0 || bytes.IndexByte(text, '+') < 0) &&
		(how&slashes == 0 || !bytes.Contains(text, []byte("//")))
}

// decode undoes the coding of a text in place. What is no coding after all stays as it is.
func (how coding) decode(b []byte) []byte {
	if how&inJSON != 0 {
		b = unescapeJSON(b)
	}
	if how&escaped != 0 {
		b = unescape(b)
	}
	if how&hashes != 0 {
		b = unhex(b, '#', false)
	}
	if how&(percent|plus) != 0 {
		b = unhex(b, '%', how&plus != 0)
	}
	if how&slashes != 0 {
		to := 0
		for i, c := range b {
			if c != '/' || i == 0 || b[to-1] != '/' {
				b[to] = c
				to++
			}
		}
		b = b[:to]
	}
	if how&dots != 0 {
		b = resolve(b)
	}
	return b
}

// resolve takes the segments "." and ".." out of a path in place, the latter with the segment before it, as servers do
// before they look for a file (RFC 3986 section 5.2.4).
func resolve(path []byte) []byte {
	to := 0
	for from := 0; from < len(path); {
		end := from + 1 // a segment with the slash before it
		for end < len(path) && path[end] != '/' {
			end++
		}
		switch segment := path[from:end]; string(segment) {
		case "/.", "/..":
			if len(segment) == len("/..") {
				to = max(bytes.LastIndexByte(path[:to], '/'), 0)
			}
			if end == len(path) { // a folder
				path[to] = '/'
				to++
			}
		default:
			to += copy(path[to:], segment)
		}
		from = end
	}
	return path[:to]
}

// unescape undoes in place what Apache and nginx write for a quote, a backslash and control characters. A backslash
// before anything else stays.
func unescape(b []byte) []byte {
	to := 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			switch next := b[i+1]; next {
			case '"', '\\':
				c = next
				i++
			case 'x':
				if i+3 < len(b) && hexDigit(b[i+2]) < 16 && hexDigit(b[i+3]) < 16 {
					c = hexDigit(b[i+2])<<4 | hexDigit(b[i+3])
					i += 3
				}
			default:
				if k := strings.IndexByte("bnrtv", next); k >= 0 {
					c = "\b\n\r\t\v"[k]
					i++
				}
			}
		}
		b[to] = c
		to++
	}
	return b[:to]
}

// unhex undoes in place, once, the coding of a byte as a mark with two digits after it: that of URLs is %HH.
func unhex(b []byte, mark byte, plusIsSpace bool) []byte {
	to := 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case c == mark && i+2 < len(b) && hexDigit(b[i+1]) < 16 && hexDigit(b[i+2]) < 16:
			c = hexDigit(b[i+1])<<4 | hexDigit(b[i+2])
			i += 2
		case c == '+' && plusIsSpace:
			c = ' '
		}
		b[to] = c
		to++
	}
	return b[:to]
}

// hexDigit returns the digit's value, 255 for what is none.
func hexDigit(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case (c|0x20)-'a' <= 5:
		return (c | 0x20) - 'a' + 10
	default:
		return 255
	}
}
