package pattern

import "tattled/detect/parse"

// forward matches the field at the beginning of m[at:] and returns where it ends, negative if it does not match: whatever stands
// there unbroken is one thing.
func (st *step) forward(m []byte, at int, c *captures) (end int) {
	if st.ahead == 0 {
		switch st.field {
		case IP:
			if four, end := parse.Four(m, at); end >= 0 && (end == len(m) || classes[m[end]]&classHost == 0) {
				c.ip, c.ipEnd, c.four, c.isFour = at, end, four, true
				return end
			}
		case Port, LocalPort:
			port, end := parse.PortAt(m, at)
			c.keepPort(st.field, port)
			return end
		}
	}
	run, class := m[at:min(len(m), at+st.limit+st.ahead+1)], st.class
	n := 0
	for n < len(run) && classes[run[n]]&class != 0 {
		n++
	}
	n -= st.ahead
	if n < st.least || n > st.limit || !st.catch(m, at, at+n, c) {
		return -1
	}
	return at + n
}

// backward matches the field at the end of m[:end] and returns where it begins, negative if it does not match.
func (st *step) backward(m []byte, end int, c *captures) (at int) {
	if st.behind == 0 {
		switch st.field {
		case IP:
			if four, at := parse.FourBack(m, end); at == 0 || at > 0 && classes[m[at-1]]&classHost == 0 {
				c.ip, c.ipEnd, c.four, c.isFour = at, end, four, true
				return at
			}
		case Port, LocalPort:
			port, at := parse.PortBack(m, end)
			c.keepPort(st.field, port)
			return at
		}
	}
	stop := max(0, end-st.limit-st.behind-1)
	run, class := m[stop:end], st.class
	at = len(run)
	for at > 0 && classes[run[at-1]]&class != 0 {
		at--
	}
	at += stop + st.behind
	if n := end - at; n < st.least || n > st.limit || !st.catch(m, at, end, c) {
		return -1
	}
	return at
}

// catch notes what the field holds, m[from:to], and reports whether it may hold that.
func (st *step) catch(m []byte, from, to int, c *captures) bool {
	switch st.field {
	case IP:
		c.ip, c.ipEnd, c.isFour = from, to, false
	case IPPort:
		start, end, port, ok := parse.CutPort(m[from:to])
		c.ip, c.ipEnd, c.isFour, c.port = from+start, from+end, false, port
		return ok
	case Port, LocalPort:
		port, ok := parse.Port(m[from:to])
		if !ok {
			return false
		}
		c.keepPort(st.field, port)
	}
	return true
}

func (c *captures) keepPort(field Field, port uint16) {
	if field == Port {
		c.port = port
	} else {
		c.local = port
	}
}
