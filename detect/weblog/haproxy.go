package weblog

import (
	"bytes"

	"tattled/detect/parse"
)

// readHAProxy takes a line of HAProxy's "option httplog" apart. What a client sent is in it after the status only, and has no
// raw quote, brace or hash (src/log.c, lf_encode_string), so that the first quote begins the request and the next ends it:
//
//	203.0.113.5:40022 [22/Nov/2026:10:00:00.123] front back/server 0/0/1/2/3 404 196 - - ---- 1/1/0/0/0 0/0 {captured} "GET / HTTP/1.1"
func (l *accessLine) readHAProxy(m []byte) bool {
	end := bytes.Index(m, []byte(" ["))
	if end <= 0 {
		return false
	}
	from, to, port, ok := parse.CutPort(m[:end])
	if !ok {
		return false
	}
	l.peer, l.port = m[from:to], port
	m = m[end+len(" ["):]
	end = bytes.Index(m, []byte("] "))
	if end < 0 {
		return false
	}
	l.stamp, m = m[:end], m[end+len("] "):]
	for range 3 { // the frontend, the backend with its server, the times
		space := bytes.IndexByte(m, ' ')
		if space <= 0 {
			return false
		}
		m = m[space+1:]
	}
	quote := bytes.IndexByte(m, '"')
	if quote < len("200 ") || m[3] != ' ' || m[quote-1] != ' ' {
		return false
	}
	l.status = statusOf(m[:3])
	if bytes.Contains(m[:quote], []byte(" - - C")) || bytes.Contains(m[:quote], []byte(" - - c")) {
		if parse.HasPrefix(m[quote:], `"<BADREQ>"`) { // the client went away, or said nothing in time
			return false
		}
	}
	m = m[quote+1:]
	l.how, l.user = hashes, dash
	if end = bytes.IndexByte(m, '"'); end < 0 {
		return l.status != 0 && l.begun(m)
	}
	l.request = m[:end]
	return l.status != 0
}
