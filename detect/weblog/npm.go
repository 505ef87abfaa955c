package weblog

import (
	"bytes"

	"tattled/detect/parse"
	"tattled/detect/stamp"
)

// readNPM takes a line of Nginx Proxy Manager apart, of its form "proxy" or "standard" (docker/rootfs/etc/nginx/conf.d/include/log-proxy.conf
// and /etc/nginx/nginx.conf of its image). nginx takes no request with a blank in its method or its Host header, and escapes quotes within a
// column, so that the first quote begins the target, and what follows its end up to the bracket is the peer's address:
//
//	[22/Nov/2026:10:00:00 +0000] - 404 404 - GET https example.org "/a?b" [Client 203.0.113.5] [Length 12] [Gzip -] [Sent-to 192.0.2.10] "agent" "referer"
//	[22/Nov/2026:10:00:00 +0000] 404 - GET http example.org "/a?b" [Client 203.0.113.5] [Length 12] [Gzip -] "agent" "referer"
func (l *accessLine) readNPM(m []byte) bool {
	if !BeginsWithDate(m) {
		return false
	}
	l.stamp, m = m[1:len(date)-2], m[len(date):]
	quote := bytes.IndexByte(m, '"')
	if quote < 1 || !l.npmRequest(m[:quote]) {
		return false
	}
	m = m[quote+1:]
	end := closing(m)
	if end < 0 || !parse.HasPrefix(m[end+1:], " [Client ") {
		return false
	}
	l.target, m = m[:end], m[end+1:]
	m, ok := l.npmPeer(m)
	if !ok {
		return false
	}
	if l.agent, m, ok = column(m); ok {
		l.referer, m, ok = column(m)
	}
	moment, n := stamp.ReadDayFirst(l.stamp)
	if n == 0 || moment.Zone(l.stamp[n:], false) != len(l.stamp)-n || !ok && !l.cut || ok && len(m) > 0 {
		return false
	}
	l.moment, l.user, l.known = moment, dash, parse.NPMShaped
	return true
}

const date = "[22/Nov/2026:10:00:00 +0000] "

// BeginsWithDate reports whether a line begins with the date of access logs, in brackets, which no error log has.
func BeginsWithDate(m []byte) bool {
	return len(m) >= len(date) && m[0] == '[' && m[3] == '/' && m[7] == '/' && m[12] == ':' && m[len(date)-2] == ']' && m[len(date)-1] == ' '
}

// npmRequest reads "- 404 404 - GET https example.org " from its end: what is before the status is the proxy's own.
func (l *accessLine) npmRequest(m []byte) bool {
	var words [5][]byte // status, -, method, scheme, host
	for i := len(words) - 1; i >= 0; i-- {
		if len(m) == 0 {
			return false
		}
		if i == len(words)-1 {
			if m[len(m)-1] != ' ' {
				return false
			}
			m = m[:len(m)-1]
		}
		space := bytes.LastIndexByte(m, ' ')
		words[i], m = m[space+1:], m[:max(space, 0)]
	}
	for _, c := range m { // cache and servers behind: "-", "HIT 200", "- 502, 200"
		if c-'A' > 'Z'-'A' && c-'0' > 9 && c != '-' && c != ' ' && c != ',' && c != ':' {
			return false
		}
	}
	scheme := string(words[3])
	if string(words[1]) != "-" || scheme != "http" && scheme != "https" {
		return false
	}
	l.status, l.method, l.vhost = statusOf(words[0]), words[2], words[4]
	return l.status != 0 && len(l.method) > 0 && len(l.vhost) > 0
}

// npmPeer reads ` [Client 203.0.113.5] [Length 12] [Gzip -] [Sent-to 192.0.2.10]`, of which the last may be missing.
func (l *accessLine) npmPeer(m []byte) (rest []byte, ok bool) {
	for i, name := range []string{"Client", "Length", "Gzip", "Sent-to"} {
		if !parse.HasPrefix(m, " ["+name+" ") {
			return m, i == 3
		}
		m = m[len(" [ ")+len(name):]
		end := bytes.IndexByte(m, ']')
		if end <= 0 || bytes.IndexByte(m[:end], ' ') >= 0 {
			return m, false
		}
		if i == 0 {
			l.peer = m[:end]
		}
		m = m[end+1:]
	}
	return m, true
}
