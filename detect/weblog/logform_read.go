package weblog

import (
	"bytes"

	"tattled/detect/parse"
	"tattled/detect/stamp"
)

// maxNarrow bounds a column that no client writes, in bytes, where it is looked for among some that clients do: it keeps the
// time for any line linear.
const maxNarrow = 256

// read takes a line of the form apart; false for one of another form. Of a line that was cut it needs the request and the
// status, and what is before them.
func (f *Form) read(m []byte, l *accessLine) bool {
	l.declared, l.controls = true, f.controls
	l.user = dash
	for i := range f.parts {
		p := &f.parts[i]
		end := len(m)
		if p.quoted != columnNone {
			end = closing(m)
		}
		if end < 0 || p.quoted == columnNone && l.cut {
			return l.cut && l.hasRequest()
		}
		if !p.read(m[:end], l) {
			end = p.emptyUser(m, end, l)
		}
		if end < 0 {
			return l.cut && l.hasRequest()
		}
		if p.quoted == columnNone {
			break
		}
		m = m[end+1:]
		if end = closing(m); end < 0 {
			return l.cut && (l.hasRequest() || p.quoted == columnRequest && l.begun(m) && l.hasRequest())
		}
		if !l.put(p.quoted, m[:end]) {
			return false
		}
		m = m[end+1:]
	}
	return l.hasRequest()
}

// dash is what stands in a column that has nothing.
var dash = []byte("-")

// hasRequest reports whether what a rule needs at least was read, and can be believed of a line that was cut.
func (l *accessLine) hasRequest() bool {
	if l.cut {
		l.forwarded = nil
	}
	return l.peer != nil && (l.status != 0 || l.open) && (l.request != nil || l.target != nil)
}

// emptyUser reads a part with Apache's word for an empty name, two quotes, in it. It returns where the part ends, -1 if there is none.
func (p *formPart) emptyUser(m []byte, quote int, l *accessLine) int {
	if !parse.HasPrefix(m[quote:], `"" `) {
		return -1
	}
	end := len(m)
	if p.quoted != columnNone {
		more := closing(m[quote+2:])
		if more < 0 {
			return -1
		}
		end = quote + 2 + more
	}
	if !p.read(m[:end], l) {
		return -1
	}
	return end
}

// read takes a part's columns from both of its ends.
func (p *formPart) read(m []byte, l *accessLine) bool {
	from, ok := readForward(p.front, m, l, len(p.middle) == 0)
	if !ok {
		return false
	}
	m = m[from:]
	if len(p.middle) == 0 {
		return len(m) == 0
	}
	to, ok := readBackward(p.back, m, l)
	if !ok {
		return false
	}
	m = m[:to]
	if len(p.middle) == 1 {
		return l.put(p.middle[0].column, m)
	}
	return readMiddle(p.middle, m, l)
}

// readForward reads items from the front of m and returns where the next one begins. With all, m has nothing else.
func readForward(items []formItem, m []byte, l *accessLine, all bool) (at int, ok bool) {
	for i, it := range items {
		if it.column == columnText {
			if !parse.HasPrefix(m[at:], it.text) {
				return 0, false
			}
			at += len(it.text)
			continue
		}
		n := it.column.length()
		switch {
		case n > 0:
		case i+1 < len(items):
			n = bytes.Index(m[at:], []byte(items[i+1].text))
		case all:
			n = len(m) - at
		}
		if n < 0 || at+n > len(m) || !l.put(it.column, m[at:at+n]) {
			return 0, false
		}
		at += n
	}
	return at, true
}

// readBackward reads items from the end of m and returns where the first of them begins.
func readBackward(items []formItem, m []byte, l *accessLine) (at int, ok bool) {
	at = len(m)
	for i := len(items) - 1; i >= 0; i-- {
		it := items[i]
		if it.column == columnText {
			if !parse.HasSuffix(m[:at], it.text) {
				return 0, false
			}
			at -= len(it.text)
			continue
		}
		n := it.column.length()
		if n == 0 && i > 0 {
			before := bytes.LastIndex(m[:at], []byte(items[i-1].text))
			n = at - before - len(items[i-1].text)
			if before < 0 {
				return 0, false
			}
		}
		if n < 0 || n > at || !l.put(it.column, m[at-n:at]) {
			return 0, false
		}
		at -= n
	}
	return at, true
}

// length is how long a column is that always has the same length, in bytes; 0 for another.
func (c formColumn) length() int {
	switch c {
	case columnTime:
		return len("[22/Nov/2026:10:00:00 +0000]")
	case columnLocalTime:
		return len("22/Nov/2026:10:00:00 +0000")
	default:
		return 0
	}
}

// readMiddle reads two columns that may hold anything, with others between them. Where these can be in several places, the
// line is in doubt, unless the peer is not among them.
func readMiddle(items []formItem, m []byte, l *accessLine) bool {
	first, inner, last := items[0], items[1:len(items)-1], items[len(items)-1]
	found := 0
	var best accessLine
	for at := 0; ; at++ {
		next := bytes.Index(m[at:], []byte(inner[0].text))
		if next < 0 {
			break
		}
		at += next
		one := *l
		n, ok := readForward(inner, m[at:min(len(m), at+maxNarrow*len(inner))], &one, false)
		if !ok || !one.put(first.column, m[:at]) || !one.put(last.column, m[at+n:]) {
			continue
		}
		if _, isPeer := parse.Addr(one.peer); l.peer == nil && one.peer != nil && !isPeer {
			continue
		}
		if found++; found == 1 {
			best = one
		} else if !bytes.Equal(best.peer, one.peer) || best.status != one.status {
			best.doubtful = true
		}
	}
	if found == 0 {
		return false
	}
	if *l = best; found > 1 {
		l.user = dash
	}
	return true
}

// put sets what a column holds; false for what the server would not write there.
func (l *accessLine) put(c formColumn, value []byte) bool {
	if !c.mayHoldBlanks() && c.length() == 0 && bytes.IndexByte(value, ' ') >= 0 {
		return false
	}
	switch c {
	case columnPeer, columnNamed:
		if len(value) == 0 {
			return false
		}
		l.peer, l.named = value, c == columnNamed && looksNamed(value)
	case columnStatus:
		l.status = statusOf(value)
		return l.status != 0
	case columnTime:
		return value[0] == '[' && value[len(value)-1] == ']' && l.put(columnLocalTime, value[1:len(value)-1])
	case columnLocalTime:
		moment, n := stamp.ReadDayFirst(value)
		if n == 0 {
			return false
		}
		moment.Zone(value[n:], false)
		l.moment = moment
	case columnStamp:
		l.moment = stamp.Parse(value)
	case columnPort:
		l.port, _ = parse.Port(value)
	case columnLocalPort:
		l.local, _ = parse.Port(value)
	case columnRequest:
		l.request = value
	case columnMethod:
		l.method = value
	case columnTarget, columnPath:
		l.target = value
	case columnQuery:
		l.query = bytes.TrimPrefix(value, []byte("?"))
	case columnUser:
		if l.user = value; string(value) == `""` || len(value) == 0 {
			l.user = value[:0]
		}
	case columnAgent:
		l.agent = value
	case columnReferer:
		l.referer = value
	case columnForwarded:
		l.forwarded = value
	case columnVhost, columnHost:
		l.vhost = value
	}
	return true
}
