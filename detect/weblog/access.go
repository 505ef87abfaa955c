package weblog

import (
	"bytes"
	"net/netip"
	"strconv"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/detect/stamp"
)

// Access reads the access log of a web server in the forms that Apache calls common, combined and vhost_combined, with
// anything behind, which are those of nginx and most other servers as well:
//
//	peer - user [22/Nov/2026:10:00:00 +0000] "GET /path?query HTTP/1.1" 200 512 "referer" "agent" "X-Forwarded-For"
//	vhost:port peer - user ...
//
// The peer is the first column (the second, where the first is no address), which is before anything that a client
// chose. Servers escape quotes in what is quoted; where one does not, its clients can change everything but the peer.
//
// Operators have forms of their own, with a header of the client's in the first column. The form is guessed by what is in
// the columns: a line that may be of such a form is refused, or proves nothing.
type Access struct{ webLog }

// The fields of access with text, besides method and status, by their number in accessFields.
const (
	accessPath = iota
	accessQuery
	accessTarget
	accessUser
	accessAgent
	accessReferer
	accessVhost
)

var accessFields = []string{"path", "query", "target", "user", "agent", "referer", "vhost"}

// NewAccess makes the parser for the rules of a file, and checks what only it can tell of them. proxies are networks of the
// operator's reverse proxies.
func NewAccess(form *rulefile.File, proxies []netip.Prefix, f *rulefile.Faults) *Access {
	if len(form.Fields.All) > 0 {
		f.Add(form.Fields.Line, "fields: they are for parser: json")
	}
	return &Access{webLog{file: form, conditions: newConditions(form, accessFields, []string{"method", "status"}, f), proxies: proxies}}
}

// accessLine is what stands in a line before the referer. Its texts are parts of the message, as they are written there.
type accessLine struct {
	vhost, peer, user []byte
	stamp             []byte // 22/Nov/2026:10:00:00 +0000
	request           []byte
	status            int
	rest              []byte      // from the number of bytes that were sent
	port              uint16      // the peer's, 0 where the form has none
	how               coding      // what the server wrote for what would break its line
	guessed           bool        // there are two addresses in a row: either may be what a client wrote
	declared          bool        // the operator said which column is what: nothing is guessed, and the columns below are set
	cut               bool        // the line is only the beginning of what the server wrote
	open              bool        // the request is, too: there is no status
	unescaped         bool        // a quote is amid a column: the server escapes nothing
	known             parse.Shape // of a form whose columns are as sure as those of a declared one

	// Of a line whose form is declared or known alone:
	named    bool   // a name is in the column of the peer
	doubtful bool   // columns can be told apart in several ways that do not agree on the peer
	target   []byte // where the form has no whole request
	query    []byte // the same, and the target has none
	method   []byte
	local    uint16 // our port
	controls int    // characters of the form that are in no column
	moment   stamp.Stamp

	referer, agent, forwarded []byte
}

// read takes a line apart; ok is false for one of another form. It looks first at what costs least and tells most: behind
// the date stands the first quote, unless there is one in the user.
func (l *accessLine) read(m []byte) (ok bool) {
	const stamp = "[22/Nov/2026:10:00:00 +0000] "
	quote := bytes.IndexByte(m, '"')
	if quote < 1 {
		return false
	}
	inUser := m[quote-1] == '\\' || parse.HasPrefix(m[quote:], `"" [`)
	quoted := !inUser && parse.HasSuffix(m[:quote], hyphen)
	if !inUser && !quoted && (quote < len(stamp) || m[quote-len(stamp)] != '[') {
		return false
	}
	at := l.columns(m)
	if at < 0 {
		return false
	}
	m, quote = m[at:], quote-at
	if quoted {
		if m, quote = l.quotedUser(m, quote); quote < 0 {
			return false
		}
	}
	if inUser {
		if parse.HasPrefix(m, `"" [`) { // Apache's word for an empty name
			m = m[len(`""`):]
		}
		quote = closing(m)
	}
	from := quote - len(stamp)
	if from < 1 || m[from-1] != ' ' || m[from] != '[' || m[quote-2] != ']' || m[quote-1] != ' ' {
		return false
	}
	l.user, l.stamp = m[:from-1], m[from+1:quote-len("] ")]
	if quoted {
		l.user = bytes.TrimSuffix(l.user, []byte(`"`))
	}
	m = m[quote+1:]
	end := closing(m)
	if end < 0 {
		return l.begun(m)
	}
	l.request, l.rest = m[:end], m[end+1:]
	l.unescaped = l.unescaped || amidText(l.rest)
	return l.readStatus()
}

// quotedUser goes into the user of a server that writes one in quotes, as it came, and so line ends too: OpenLiteSpeed does
// (http/accesslog.cpp, log). m has the user's quote at its front; quote becomes the request's first one, -1 if there is none.
func (l *accessLine) quotedUser(m []byte, at int) (user []byte, quote int) {
	if at != 0 {
		return m, -1
	}
	l.unescaped = true
	m = m[1:]
	end := bytes.Index(m, []byte(`" [`))
	if end < 0 {
		return m, -1
	}
	next := bytes.IndexByte(m[end+1:], '"')
	if next < 0 {
		return m, -1
	}
	return m, end + 1 + next
}

// begun takes a request that is cut after its path: what the server wrote before it is whole, and a client cannot have
// its path hidden by the length of its query.
func (l *accessLine) begun(request []byte) bool {
	if !l.cut || bytes.IndexByte(request, '?') < 0 {
		return false
	}
	l.request, l.open = request, true
	return true
}

// amidText reports whether what follows a quote goes on as text does. A quote that ends a column has a blank after it, or a comma.
func amidText(rest []byte) bool {
	return len(rest) > 0 && (rest[0]|0x20-'a' <= 'z'-'a' || rest[0]-'0' <= 9 || rest[0] == '/')
}

// stampedAgain reports whether a user in quotes seems to end in what follows the status, with the stamp after it: then what is before
// it, line end and all, is what OpenLiteSpeed was given for a name.
func stampedAgain(rest []byte) bool {
	const stamp = `" [22/Nov/2026:10:00:00 +0000] "`
	for {
		at := closing(rest)
		if at < 0 {
			return false
		}
		if rest = rest[at:]; len(rest) >= len(stamp) && rest[1] == ' ' && rest[2] == '[' && rest[5] == '/' && rest[len(stamp)-3] == ']' && rest[len(stamp)-1] == '"' {
			return true
		}
		rest = rest[1:]
	}
}

// controls counts the control characters of m. A server that escapes what its clients send writes none but those of its form.
func controls(m []byte) (n int) {
	for _, c := range m {
		if c < ' ' {
			n++
		}
	}
	return n
}

// hyphen is between the peer and the user.
const hyphen = " - "

// mayBePeer reports whether the user may be what follows the peer in another form: with the Host header in the first column, the
// peer's address or name is where the user begins ("$host - $remote_addr - $remote_user", "$host - $remote_addr"), or where it
// ends ("$host - $remote_user $remote_addr", "$host - - $remote_addr").
func mayBePeer(user []byte) bool {
	first, last := user, user
	if space := bytes.IndexByte(user, ' '); space >= 0 {
		first, last = user[:space], user[bytes.LastIndexByte(user, ' ')+1:]
	}
	if holdsAddress(first) || holdsAddress(last) {
		return true
	}
	at := bytes.LastIndex(user, []byte(hyphen))
	return at >= 0 && bytes.ContainsAny(user[:at], ".:")
}

// holdsAddress reports whether an address is in a word, perhaps with a port after it, or with something around it:
// "(203.0.113.5)", "ip=203.0.113.5".
func holdsAddress(word []byte) bool {
	for len(word) > 0 {
		n := 0
		for n < len(word) && (word[n]-'0' <= 9 || word[n]|0x20-'a' <= 'f'-'a' || word[n] == '.' || word[n] == ':') {
			n++
		}
		if n > 0 {
			if _, _, is := parseHostPort(bytes.Trim(word[:n], ".")); is {
				return true
			}
			if _, is := parse.Addr(bytes.Trim(word[:n], ".:")); is {
				return true
			}
		}
		word = word[min(n+1, len(word)):]
	}
	return false
}

// looksNamed reports whether a name is in the peer's place, for little: an address of version 4 ends in a digit, and one of
// version 6 has colons.
func looksNamed(column []byte) bool {
	last := column[len(column)-1] | 0x20
	return 'a' <= last && last <= 'z' && bytes.IndexByte(column, ':') < 0
}

// columns reads what is before the user, and returns where that begins; -1 if it is something else.
func (l *accessLine) columns(front []byte) (end int) {
	end = columnEnd(front)
	if end <= 0 {
		return -1
	}
	l.peer = front[:end]
	if parse.HasPrefix(front[end:], hyphen) {
		return end + len(hyphen)
	}
	from := end + 1
	end = columnEnd(front[from:])
	if end <= 0 || !parse.HasPrefix(front[from+end:], hyphen) {
		return -1
	}
	l.vhost, l.peer = l.peer, front[from:from+end]
	_, port, isPeer := parseHostPort(l.vhost)
	l.guessed = isPeer && !servers(port) || parse.IsList(l.vhost)
	if _, isPeer := parse.Addr(l.peer); !isPeer && !parse.IsList(l.peer) {
		return -1
	}
	return from + end + len(hyphen)
}

// servers reports whether a port after an address is one of ours, as vhost_combined has it ("192.0.2.10:443"), rather than a peer's own
// ("$remote_addr:$remote_port $host - ").
func servers(port uint16) bool { return port == 80 || port == 443 || port == 8080 || port == 8443 }

// columnEnd returns where the column at the front ends; -1 if nothing follows it. A list with a space after its commas is one
// column, as X-Forwarded-For is written there: "198.51.100.66, 203.0.113.5".
func columnEnd(front []byte) int {
	end := bytes.IndexByte(front, ' ')
	for end > 0 && front[end-1] == ',' {
		next := bytes.IndexByte(front[end+1:], ' ')
		if next < 0 {
			return -1
		}
		end += 1 + next
	}
	return end
}

// readStatus takes " 200 512" off the rest.
func (l *accessLine) readStatus() bool {
	m := l.rest
	if len(m) < len(" 200 -") || m[0] != ' ' || m[4] != ' ' {
		return false
	}
	for _, c := range m[1:4] {
		if c-'0' > 9 {
			return false
		}
		l.status = l.status*10 + int(c-'0')
	}
	l.rest = m[len(" 200 "):]
	return true
}

// behind returns what stands behind the number of bytes that were sent.
func (l *accessLine) behind() []byte {
	if space := bytes.IndexByte(l.rest, ' '); space >= 0 {
		return l.rest[space:]
	}
	return nil
}

// closing returns where the first quote is that no backslash escapes, -1 if there is none.
func closing(m []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(m[from:], '"')
		if i < 0 {
			return -1
		}
		i += from
		slash := i
		for slash > from && m[slash-1] == '\\' {
			slash--
		}
		if (i-slash)%2 == 0 {
			return i
		}
		from = i + 1
	}
}

// column takes a quoted column, with the space before it, from the front of a line's rest.
func column(m []byte) (value, rest []byte, ok bool) {
	if !parse.HasPrefix(m, ` "`) {
		return nil, m, false
	}
	m = m[len(` "`):]
	end := closing(m)
	if end < 0 {
		return nil, m, false
	}
	return m[:end], m[end+1:], true
}

// BeginsDate reports whether m may have the date of an access log's line.
func BeginsDate(m []byte) bool { return bytes.IndexByte(m, '[') >= 0 }

// Judge returns what a line of a form that is guessed says by one of the rules, if by any.
func (a *Access) Judge(m []byte) parse.Result {
	l := accessLine{how: escaped}
	if !l.guess(m) {
		return parse.Result{Named: l.unescaped}
	}
	return a.judgeWhole(m, &l)
}

// guess takes a line of a form that nobody declared apart.
func (l *accessLine) guess(m []byte) bool {
	if len(m) > 0 && m[0] == '[' {
		if one := *l; one.readNPM(m) {
			*l = one
			return true
		}
	}
	return l.read(m) || l.readHAProxy(m)
}

// sure reports whether the columns were told apart without a guess.
func (l *accessLine) sure() bool { return l.declared || l.known != parse.NoShape }

// judgeWhole is judgeLine, and says as well whether the server escapes nothing of what its clients send.
func (a *Access) judgeWhole(m []byte, l *accessLine) parse.Result {
	r := a.judgeLine(l)
	r.Raw = a.file.Raw
	r.Named = r.Named || l.unescaped || r.Found && (controls(m) > l.controls || !l.sure() && stampedAgain(l.rest))
	return r
}

// JudgeKnown is Judge for a line of which more is known. A client can make its line so long that it is cut, but not move what
// is before the cut: where the request and the status are whole, they count.
func (a *Access) JudgeKnown(m []byte, known Known) parse.Result {
	l := accessLine{how: escaped, cut: known.Cut}
	switch {
	case known.Form != nil:
		if !known.Form.read(m, &l) {
			return parse.Result{Named: l.named, Misfit: !known.Cut}
		}
	case !l.guess(m):
		return parse.Result{Named: l.unescaped}
	}
	return a.judgeWhole(m, &l)
}

// judgeLine returns what a line says by one of the rules, if by any.
func (a *Access) judgeLine(l *accessLine) (r parse.Result) {
	r.Named = l.named || !l.sure() && looksNamed(l.peer)
	q := l.asked()
	set := a.begin(l.status, q.method)
	a.narrowPath(&set, accessPath, q.path, l.how|percent|slashes)
	if set.empty() {
		return r
	}
	a.narrow(&set, accessQuery, q.query, l.how|percent|plus)
	a.narrow(&set, accessTarget, q.target, 0)
	a.narrow(&set, accessUser, l.user, l.how)
	a.narrow(&set, accessVhost, l.host(), 0)
	if set.empty() {
		return r
	}
	l.readTail()
	a.narrow(&set, accessReferer, l.referer, l.how)
	a.narrow(&set, accessAgent, l.agent, l.how)
	if set.empty() {
		return r
	}
	if r.Stamp = l.time(); r.Stamp.IsZero() && !l.declared {
		return r
	}
	r.Found, r.Rule, r.Port, r.Unproven = true, a.rules[set.first()], l.port, l.guessed
	r.Weak = a.fetched(q.method, l.agent, l.how)
	r.Asked = parse.Asked{Text: q.path, How: uint8(l.how | percent | slashes)}
	r.Shape = l.shape()
	r.Ambiguous = l.doubtful || !l.sure() && len(l.user) > 1 && mayBePeer(l.user)
	if string(l.user) != "-" {
		r.User = l.user
	}
	r.Local = l.local
	if _, _, port, ok := parse.CutPort(l.vhost); ok && !l.sure() {
		r.Local = port
	}
	var isPeer bool
	if r.Addr, isPeer = parse.Addr(l.peer); !isPeer {
		noAddress(&r, l.peer, a.proxies)
	}
	forward(&r, l.forwarded, a.proxies)
	return r
}

// shape is what the line's form was taken for.
func (l *accessLine) shape() parse.Shape {
	switch {
	case l.sure():
		return l.known
	case l.how&hashes != 0:
		return parse.HAProxyShaped
	case l.vhost != nil:
		return parse.VhostFirst
	default:
		return parse.PeerFirst
	}
}

// asked is the request.
func (l *accessLine) asked() request {
	if l.request != nil || l.target == nil {
		return newRequest(l.request)
	}
	q := request{method: l.method, target: l.target}
	q.path, q.query = splitTarget(l.target)
	if l.query != nil {
		q.query = l.query
	}
	return q
}

// time is the line's stamp. That of HAProxy has no zone.
func (l *accessLine) time() stamp.Stamp {
	if l.sure() {
		return l.moment
	}
	moment, n := stamp.ReadDayFirst(l.stamp)
	if n == 0 {
		return stamp.Stamp{}
	}
	if n < len(l.stamp) && l.how&hashes == 0 {
		n += moment.Zone(l.stamp[n:], false)
	}
	if n != len(l.stamp) || l.how&hashes == 0 && !moment.Zoned() {
		return stamp.Stamp{}
	}
	return moment
}

// readTail reads what is after the number of bytes, unless the form is sure and it is read.
func (l *accessLine) readTail() {
	if l.sure() {
		return
	}
	var rest []byte
	var ok bool
	if l.referer, rest, ok = column(l.behind()); ok {
		l.unescaped = l.unescaped || amidText(rest)
		l.agent, rest, ok = column(rest)
	}
	if ok {
		l.unescaped = l.unescaped || amidText(rest)
		l.forwarded, rest, ok = column(rest)
	}
	l.unescaped = l.unescaped || ok && amidText(rest)
	if !ok || len(rest) > 0 || l.cut {
		l.forwarded = nil // it may not be the last column, so a client of a server that escapes nothing may have written it
	}
}

// host is the virtual host without its port.
func (l *accessLine) host() []byte {
	if from, to, _, ok := parse.CutPort(l.vhost); ok {
		return l.vhost[from:to]
	}
	return l.vhost
}

// Explain says what is read of a line of a form that is guessed.
func (a *Access) Explain(m []byte) parse.Parsed { return a.ExplainKnown(m, Known{}) }

// ExplainKnown says what is read of a line of which more is known.
func (a *Access) ExplainKnown(m []byte, known Known) (p parse.Parsed) {
	l := accessLine{how: escaped, cut: known.Cut}
	switch {
	case known.Form != nil:
		if !known.Form.read(m, &l) {
			p.Failed = "it is not of the form that is declared for its log: " + known.Form.text
			return p
		}
	case !l.guess(m):
		p.Failed = `it is not a line of an access log: the form is PEER - USER [22/Nov/2026:10:00:00 +0000] "METHOD TARGET HTTP/1.1" STATUS BYTES`
		return p
	}
	q := l.asked()
	l.readTail()
	p.Peer = string(l.peer)
	for _, f := range []struct {
		name  string
		value []byte
	}{
		{"vhost", l.host()}, {"peer", l.peer}, {"user", l.user}, {"time", l.stamp}, {"method", q.method}, {"target", q.target}, {"path", q.path},
		{"query", q.query}, {"status", strconv.AppendInt(nil, int64(l.status), 10)}, {"referer", l.referer}, {"agent", l.agent}, {"forwarded", l.forwarded},
	} {
		if f.value != nil {
			p.Fields = append(p.Fields, parse.Field{Name: f.name, Value: string(f.value)})
		}
	}
	if !a.JudgeKnown(m, known).Found {
		p.Failed = "no rule's where: matches it"
	}
	return p
}
