package weblog

import (
	"bytes"
	"net/netip"
	"slices"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/detect/stamp"
)

// JSON reads logs of which each line is one object. Where in it the values are, the file tells (fields:).
//
// A client writes into values, not into names, and a value ends where the grammar says; so it cannot change where the
// peer is read. A line in which a wanted place is there twice is refused: programs differ in which of them they take.
//
// That holds where the server escapes quotes (nginx: escape=json, or default). Without (escape=none) a client writes names, and an
// object around the one that the server wrote. So a line is refused in which the peer's name is anywhere else, if the
// program never writes that (peer_once), and one in which two places for the peer have addresses that differ proves nothing.
type JSON struct {
	webLog
	tree        jsonTree
	roles       [jsonRoles][]int // places of the fields that have a meaning, nil without
	texts       [][]int          // places of the fields of conditions
	path, query int              // of those, what is cut from a target; -1 without
	target      int              // of those, the target; -1 without
	user, agent int              // of those, the account and the User-Agent; -1 without
}

// The fields that have a meaning of their own, by their number in jsonRoleNames.
const (
	jsonIP = iota
	jsonPort
	jsonLocalPort
	jsonTime
	jsonForwarded
	jsonClaimed // the peer's address where there is no ip, which may be what a header says
	jsonStatus
	jsonMethod
	jsonRequest // the last that rules cannot ask for by itself
	jsonTarget
	jsonUser
	jsonRoles
)

var jsonRoleNames = []string{"ip", "port", "local_port", "time", "forwarded", "claimed", "status", "method", "request", "target", "user"}

// NewJSON makes the parser for the rules of a file, and checks what only it can tell of them. proxies are networks of the
// operator's reverse proxies.
func NewJSON(form *rulefile.File, proxies []netip.Prefix, faults *rulefile.Faults) *JSON {
	j := &JSON{webLog: webLog{file: form, proxies: proxies}, tree: newJSONTree(), path: -1, query: -1, target: -1, user: -1, agent: -1}
	var texts, tables []string
	for _, f := range form.Fields.All {
		var places []int
		for _, path := range f.Values {
			place, err := j.tree.add(path.Value)
			if err != nil {
				faults.Add(path.Line, "fields: %s: %v", f.Name.Value, err)
			}
			places = append(places, place)
		}
		role := slices.Index(jsonRoleNames, f.Name.Value)
		if role == jsonIP && form.PeerOnce {
			for _, path := range f.Values {
				if keys, err := cutPath(path.Value); err == nil {
					j.tree.peers = append(j.tree.peers, keys[len(keys)-1])
				}
			}
		}
		if role >= 0 {
			j.roles[role] = places
		}
		switch {
		case role == jsonStatus, role == jsonMethod:
			tables = append(tables, f.Name.Value)
		case role < 0, role > jsonRequest:
			switch role {
			case jsonUser:
				j.user = len(texts)
			case jsonTarget:
				j.target = len(texts)
			}
			if f.Name.Value == "agent" {
				j.agent = len(texts)
			}
			texts, j.texts = append(texts, f.Name.Value), append(j.texts, places)
		}
	}
	if j.roles[jsonIP] == nil {
		faults.Add(max(form.Fields.Line, form.Parser.Line), "fields: parser json needs ip:, the path to the peer's address")
	}
	texts, tables = j.addRequest(texts, tables, faults)
	j.conditions = newConditions(form, texts, tables, faults)
	return j
}

// addRequest adds the fields that are cut from a request or its target.
func (j *JSON) addRequest(texts, tables []string, f *rulefile.Faults) (_, _ []string) {
	add := func(list []string, name string) []string {
		if j.file.Fields.Values(name) != nil {
			f.Add(j.file.Fields.Line, "fields: a request or a target has the %s in it: leave %s out", name, name)
		}
		return append(list, name)
	}
	if j.roles[jsonRequest] != nil && j.roles[jsonTarget] == nil {
		tables = add(tables, "method")
		j.target = len(texts)
		texts = add(texts, "target")
	}
	if j.roles[jsonRequest] != nil || j.roles[jsonTarget] != nil {
		j.path, j.query = len(texts), len(texts)+1
		texts = add(add(texts, "path"), "query")
	}
	return texts, tables
}

// BeginsObject reports whether m may be an object.
func BeginsObject(m []byte) bool { return len(m) > 0 && (m[0] == '{' || m[0] <= ' ') }

// Judge returns what a line says by one of the rules, if by any.
func (j *JSON) Judge(m []byte) parse.Result { return j.JudgeKnown(m, Known{}) }

// JudgeKnown is Judge for a line of which more is known. What was cut off may have the peer's name once more, so that the beginning
// of a line proves nothing, but it counts.
func (j *JSON) JudgeKnown(m []byte, known Known) parse.Result {
	s := jsonScan{tree: &j.tree, line: m}
	switch whole := s.scan(); {
	case !whole && (!known.Cut || !s.ended()):
		return parse.Result{}
	case s.twice, s.shadow:
		return j.doubt(m, &s)
	}
	r := j.read(&s)
	r.Unproven = r.Unproven || known.Cut
	return r
}

// doubt judges a line that has a wanted place twice: it is refused if a rule describes it in either way.
func (j *JSON) doubt(m []byte, s *jsonScan) parse.Result {
	r := j.read(s)
	if !r.Found {
		last := jsonScan{tree: &j.tree, line: m, last: true}
		last.scan()
		r = j.read(&last)
	}
	r.Ambiguous = true
	return r
}

// first returns the value at the first place that has one.
func (s *jsonScan) first(places []int) jsonValue {
	for _, p := range places {
		if v := s.values[p]; v.kind != jsonAbsent {
			return v
		}
	}
	return jsonValue{}
}

// bytes returns a value as it is written, without quotes; nil for an object, an array or nothing.
func (s *jsonScan) bytes(v jsonValue) []byte {
	if v.kind == jsonAbsent || v.kind == jsonObject || v.kind == jsonArray {
		return nil
	}
	return s.line[v.from:v.to]
}

// read judges what was scanned. Where a line has a target as well as a request, its target counts.
func (j *JSON) read(s *jsonScan) parse.Result {
	v, whole := s.first(j.roles[jsonTarget]), false
	if v.kind == jsonAbsent && j.roles[jsonRequest] != nil {
		v, whole = s.first(j.roles[jsonRequest]), true
	}
	if v.kind == jsonEscapedText {
		return j.readEscaped(s, v, whole)
	}
	r := j.readRequest(s, s.bytes(v), whole)
	r.Asked = parse.Asked{Text: s.bytes(v), How: uint8(percent | slashes), Whole: true}
	return r
}

// readEscaped undoes the escapes of a request before it is taken apart. It has a function of its own because it needs room.
//
//go:noinline
func (j *JSON) readEscaped(s *jsonScan, v jsonValue, whole bool) parse.Result {
	var room [maxCompared]byte
	r := j.readRequest(s, unescapeJSON(room[:copy(room[:], s.bytes(v))]), whole)
	r.Asked = parse.Asked{Text: s.bytes(v), How: uint8(percent | slashes | inJSON), Whole: true}
	return r
}

// readRequest judges a request, whole or only its target.
func (j *JSON) readRequest(s *jsonScan, line []byte, whole bool) (r parse.Result) {
	q := request{method: s.bytes(s.first(j.roles[jsonMethod])), target: line}
	whole = whole && (len(line) == 0 || line[0] != '/') // Apache's %U, the path alone, goes by that name as well
	switch {
	case line == nil:
	case whole:
		q = newRequest(line)
	default:
		q.path, q.query = splitTarget(line)
	}
	set := j.begin(statusOf(s.bytes(s.first(j.roles[jsonStatus]))), q.method)
	if j.path >= 0 {
		j.narrowPath(&set, j.path, q.path, percent|slashes)
		j.narrow(&set, j.query, q.query, percent|plus)
	}
	if set.empty() {
		return r
	}
	if j.target >= len(j.texts) || whole && j.target >= 0 {
		j.narrow(&set, j.target, q.target, 0)
	}
	for i, places := range j.texts {
		if whole && i == j.target {
			continue
		}
		v := s.first(places)
		how := coding(0)
		if v.kind == jsonEscapedText {
			how = inJSON
		}
		text := s.bytes(v)
		if text == nil && i == j.user {
			text = []byte("-") // a log without accounts is one of visitors that have none
		}
		j.narrow(&set, i, text, how)
	}
	if set.empty() {
		return r
	}
	r = j.peer(s, j.rules[set.first()])
	if j.agent >= 0 {
		v := s.first(j.texts[j.agent])
		how := coding(0)
		if v.kind == jsonEscapedText {
			how = inJSON
		}
		r.Weak = j.fetched(q.method, s.bytes(v), how)
	}
	return r
}

// peer reads whom a line is about that a rule describes. It is about nobody if it has no address.
func (j *JSON) peer(s *jsonScan, rule int32) (r parse.Result) {
	at := s.first(j.roles[jsonIP])
	if at.kind == jsonAbsent {
		at = s.first(j.roles[jsonClaimed])
		r.Unproven = true
	}
	switch ip := s.bytes(at); {
	case ip != nil:
		var ok bool
		if r.Addr, r.Port, ok = parseHostPort(ip); !ok {
			noAddress(&r, ip, j.proxies)
		}
	case at.kind == jsonArray:
		r.Refusal = parse.AddressList
	default:
		return r
	}
	r.Found, r.Rule = true, rule
	r.Unproven = r.Unproven || j.disagree(s, at) // what a list names may be unproven by itself
	if port, ok := parse.Port(s.bytes(s.first(j.roles[jsonPort]))); ok {
		r.Port = port
	}
	r.Local, _ = parse.Port(s.bytes(s.first(j.roles[jsonLocalPort])))
	if user := s.bytes(s.first(j.roles[jsonUser])); len(user) > 0 && string(user) != "-" {
		r.User = user
	}
	r.Stamp = stamp.Parse(s.bytes(s.first(j.roles[jsonTime])))
	forward(&r, s.forwarded(s.first(j.roles[jsonForwarded])), j.proxies)
	return r
}

// disagree reports whether another place for the peer's address has another one.
func (j *JSON) disagree(s *jsonScan, at jsonValue) bool {
	differs := func(p int) bool {
		return s.values[p].kind != jsonAbsent && !bytes.Equal(s.bytes(s.values[p]), s.bytes(at))
	}
	return slices.ContainsFunc(j.roles[jsonIP], differs) || slices.ContainsFunc(j.roles[jsonClaimed], differs)
}

// forwarded returns an X-Forwarded-For, which may be a list of one text. Of a list of several only the program knows which
// of them the proxy wrote.
func (s *jsonScan) forwarded(v jsonValue) []byte {
	if v.kind != jsonArray {
		return s.bytes(v)
	}
	list := bytes.TrimSpace(s.line[v.from+1 : v.to-1])
	if n := len(list); n > 2 && list[0] == '"' && bytes.IndexByte(list[1:], '"') == n-2 {
		return list[1 : n-1]
	}
	return nil
}

func statusOf(b []byte) int {
	if len(b) != 3 {
		return 0
	}
	n, _ := parse.Port(b)
	return int(n)
}

// Explain says what is read of a line.
func (j *JSON) Explain(m []byte) parse.Parsed { return j.ExplainKnown(m, Known{}) }

// ExplainKnown says what is read of a line of which more is known.
func (j *JSON) ExplainKnown(m []byte, known Known) (p parse.Parsed) {
	s := jsonScan{tree: &j.tree, line: m}
	if !s.scan() && (!known.Cut || !s.ended()) {
		p.Failed = "it is not a JSON object, or was cut off"
		return p
	}
	for _, f := range j.file.Fields.All {
		for _, path := range f.Values {
			place, err := j.tree.add(path.Value)
			if err != nil {
				continue
			}
			if value := s.bytes(s.values[place]); value != nil {
				p.Fields = append(p.Fields, parse.Field{Name: f.Name.Value, Value: string(value)})
				break
			}
		}
	}
	p.Peer = string(s.bytes(s.first(j.roles[jsonIP])))
	switch {
	case j.JudgeKnown(m, known).Found:
	case p.Peer == "":
		p.Failed = "it has no ip where fields: says"
	default:
		p.Failed = "no rule's where: matches it"
	}
	return p
}
