package weblog

import (
	"bytes"
	"net/netip"
	"slices"

	"tattled/detect/parse"
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
	if n := len(r.target) - len(version); n >= 0 && parse.HasPrefix(r.target[n:], " HTTP/") {
		r.target = r.target[:n]
	} else if at := bytes.LastIndex(r.target, []byte(" HTTP/")); at >= 0 {
		r.target = r.target[:at]
	}
	r.path, r.query = splitTarget(r.target)
	return r
}

// MaxPath bounds Finding.Path, in bytes as it is written in the log.
const MaxPath = 512

// Path returns the path that was asked for, decoded and resolved; in room unless it stands in the message like that.
//
//go:noinline
func Path(a *parse.Asked, room *[MaxPath]byte) []byte {
	path, how := a.Text, coding(a.How)
	if how&inJSON != 0 {
		path, how = unescapeJSON(room[:copy(room[:], path)]), how&^inJSON
	}
	if a.Whole {
		q := newRequest(path)
		path = q.anyPath()
	}
	if !how.plain(path) || bytes.Contains(path, []byte("/.")) {
		path = (how | dots).decode(room[:copy(room[:], path)])
	}
	return path[:min(len(path), MaxPath)]
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
func forward(r *parse.Result, forwarded []byte, proxies []netip.Prefix) {
	if among(r.Addr, proxies) {
		takeApart(r, forwarded, proxies)
	}
}

// noAddress judges a column in the peer's place that is no address. A list of addresses there is an X-Forwarded-For: a client
// wrote all of it but what proxies of the operator's put at its end, so that without proxies it names nobody.
func noAddress(r *parse.Result, column []byte, proxies []netip.Prefix) {
	r.Addr, r.Port, r.Refusal = netip.Addr{}, 0, parse.RefusalOf(column)
	if r.Refusal == parse.AddressList && len(proxies) > 0 {
		r.Refusal = parse.NotRefused
		takeApart(r, column, proxies)
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
func takeApart(r *parse.Result, list []byte, proxies []netip.Prefix) {
	r.Port = 0
	hops := [maxHops]netip.Addr{r.Addr} // the connection's peer; no address where the list is in its place
	for n, rest := 1, list; rest != nil; n++ {
		entry := rest
		if comma := bytes.LastIndexByte(rest, ','); comma >= 0 {
			rest, entry = rest[:comma], rest[comma+1:]
		} else {
			rest = nil
		}
		var ok bool
		if r.Addr, _, ok = parseHostPort(bytes.Trim(entry, " ")); !ok {
			break
		}
		if !among(r.Addr, proxies) {
			return
		}
		if n >= maxHops || slices.Contains(hops[:n], r.Addr) || !named(r.Addr, proxies) {
			r.Unproven = true
		} else {
			hops[n] = r.Addr
		}
	}
	r.Addr, r.Refusal = netip.Addr{}, parse.Proxy
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
	if addr, ok = parse.Addr(b); ok {
		return addr, 0, true
	}
	if n := len(b); n > 2 && b[0] == '[' && b[n-1] == ']' {
		addr, ok = parse.Addr(b[1 : n-1])
		return addr, 0, ok
	}
	from, to, port, ok := parse.CutPort(b)
	if !ok || from == 0 && bytes.IndexByte(b[:to], ':') >= 0 {
		return netip.Addr{}, 0, false
	}
	addr, ok = parse.Addr(b[from:to])
	return addr, port, ok
}
