package detect

import (
	"bytes"
	"net/netip"
	"slices"
)

// request is a request's first line, taken apart. One that cannot be read has a target only, which is all of it.
type request struct {
	method, target []byte
	path, query    []byte // of the target; nil where it has none
}

func newRequest(line []byte) (r request) {
	r.target = line
	space := 0
	for space < len(line) && space <= maxMethod && methodByte(line[space]) {
		space++
	}
	if space == 0 || space > maxMethod || space == len(line) || line[space] != ' ' {
		return r
	}
	r.method, r.target = line[:space], line[space+1:]
	const version = " HTTP/1.1"
	if n := len(r.target) - len(version); n >= 0 && prefixed(r.target[n:], " HTTP/") {
		r.target = r.target[:n]
	} else if at := bytes.LastIndex(r.target, []byte(" HTTP/")); at >= 0 {
		r.target = r.target[:at]
	}
	r.path, r.query = splitTarget(r.target)
	return r
}

// asked is where a line has the path of a request, for Finding.Path: parts of the message, as they are written there.
type asked struct {
	text  []byte // nil: the line tells of no request with a path
	how   coding // how text is written
	whole bool   // text is a target, or a request with a method before it, and the path is yet to be cut out of it
}

// maxPath bounds Finding.Path, in bytes as it is written in the log.
const maxPath = 512

// path returns the path that was asked for, decoded and resolved; in room unless it stands in the message like that.
//
//go:noinline
func (a *asked) path(room *[maxPath]byte) []byte {
	path, how := a.text, a.how
	if how&json != 0 {
		path, how = unescapeJSON(room[:copy(room[:], path)]), how&^json
	}
	if a.whole {
		q := newRequest(path)
		path = q.anyPath()
	}
	if !how.plain(path) || bytes.Contains(path, []byte("/.")) {
		path = (how | dots).decode(room[:copy(room[:], path)])
	}
	return path[:min(len(path), maxPath)]
}

// anyPath is the path of a request, or of what is a target alone.
func (r *request) anyPath() []byte {
	if r.method != nil {
		return r.path
	}
	path, _ := splitTarget(r.target)
	return path
}

// splitTarget cuts a target into path and query. The scheme and the host of a target for a proxy are no part of its path.
func splitTarget(target []byte) (path, query []byte) {
	path = target
	if at := bytes.IndexByte(path, '?'); at >= 0 {
		path, query = path[:at], path[at+1:]
	}
	if len(path) > 0 && path[0] == '/' {
		return path, query
	}
	if at := bytes.Index(path, []byte("://")); at > 0 && at <= len("https") {
		host := path[at+len("://"):]
		slash := bytes.IndexByte(host, '/')
		if slash < 0 {
			slash = len(host)
		}
		path = host[slash:]
	}
	return path, query
}

// forward looks past the peer. If that is a proxy that the operator trusts, the peer is whom forwarded (X-Forwarded-For) names.
func (r *reading) forward(forwarded []byte, proxies []netip.Prefix) {
	if among(r.addr, proxies) {
		r.takeApart(forwarded, proxies)
	}
}

// noAddress judges a column in the peer's place that is no address. A list of addresses there is an X-Forwarded-For: a client
// wrote all of it but what proxies of the operator's put at its end, so that without proxies it names nobody.
func (r *reading) noAddress(column []byte, proxies []netip.Prefix) {
	r.addr, r.port, r.refusal = netip.Addr{}, 0, refusalOf(column)
	if r.refusal == AddressList && len(proxies) > 0 {
		r.refusal = NotRefused
		r.takeApart(column, proxies)
	}
}

// maxHops bounds the chain of proxies of which each hop is told from the others.
const maxHops = 4

// takeApart makes the right-most entry of a list that is no trusted proxy the peer: each proxy adds at the end whom it was
// asked by, and what is left of the first stranger's entry is the stranger's own word.
//
// A hop in the list is a proxy only by its address, and all that is left of it is the word of whoever asked from there. So it
// proves something only if the operator named that very address: in a network that is trusted as a whole somebody else may
// have one, as a customer of a CDN who sends requests from its servers, and another container of a host. Nor does a hop that the
// chain has twice: somebody asked the proxy from the proxy's own machine.
func (r *reading) takeApart(list []byte, proxies []netip.Prefix) {
	r.port = 0
	hops := [maxHops]netip.Addr{r.addr} // the connection's peer; no address where the list is in its place
	for n, rest := 1, list; rest != nil; n++ {
		entry := rest
		if comma := bytes.LastIndexByte(rest, ','); comma >= 0 {
			rest, entry = rest[:comma], rest[comma+1:]
		} else {
			rest = nil
		}
		var ok bool
		if r.addr, _, ok = parseHostPort(bytes.Trim(entry, " ")); !ok {
			break
		}
		if !among(r.addr, proxies) {
			return
		}
		if n >= maxHops || slices.Contains(hops[:n], r.addr) || !named(r.addr, proxies) {
			r.unproven = true
		} else {
			hops[n] = r.addr
		}
	}
	r.addr, r.refusal = netip.Addr{}, Proxy
}

// named reports whether an address itself is among the proxies, and not only a network of it.
func named(addr netip.Addr, proxies []netip.Prefix) bool {
	for _, p := range proxies {
		if p.IsSingleIP() && p.Addr() == addr {
			return true
		}
	}
	return false
}

func among(addr netip.Addr, proxies []netip.Prefix) bool {
	for _, p := range proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHostPort reads an address, in brackets or not, which a port may follow. That of a bare address of version 6 cannot
// be told from it, so such an address has none.
func parseHostPort(b []byte) (addr netip.Addr, port uint16, ok bool) {
	if addr, ok = parseAddr(b); ok {
		return addr, 0, true
	}
	if n := len(b); n > 2 && b[0] == '[' && b[n-1] == ']' {
		addr, ok = parseAddr(b[1 : n-1])
		return addr, 0, ok
	}
	from, to, port, ok := cutPort(b)
	if !ok || from == 0 && bytes.IndexByte(b[:to], ':') >= 0 {
		return netip.Addr{}, 0, false
	}
	addr, ok = parseAddr(b[from:to])
	return addr, port, ok
}
