package wire

import "bytes"

// Opening is what the first bytes of a stream say of it.
type Opening uint8

// The openings.
const (
	Undecided Opening = iota // too few bytes to know
	Syslog                   // syslog, or text that is not known to be anything else
	Foreign                  // another protocol
)

// Opens says what a stream that begins with buf is. With eof nothing follows.
//
// A peer that speaks another protocol to a syslog listener is lost, or is made to: a web page can have every browser that
// shows it send a request to any address that the browser reaches, with lines of the page's choice in its body. Foreign are
// HTTP and its kin (RTSP, SIP, ICAP), TLS, the greetings of mail and SSH clients, HAProxy's PROXY protocol, Redis, and what
// begins with control characters, as binary protocols do. Only the beginning of a stream is judged: later lines may be text
// of strangers in the logs of an honest sender, and must not be able to end its connection. A peer that begins with a
// well-formed record and then goes on in another protocol cannot be told from one that sends syslog.
func Opens(buf []byte, eof bool) Opening {
	rest := bytes.TrimLeft(buf, "\x00\t\n\r ")
	if len(rest) == 0 {
		return Undecided
	}
	for _, c := range rest[:min(len(rest), 4)] {
		if c == '\n' || c == '\r' {
			break
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return Foreign
		}
	}
	if digit(rest[0]) || rest[0] == '<' && len(rest) > 1 && digit(rest[1]) {
		return Syslog
	}
	line, whole, long := rest, eof, len(rest) >= maxOpening
	if end := bytes.IndexAny(rest[:min(len(rest), maxOpening)], "\n\x00"); end >= 0 {
		line, whole = rest[:end], true
	}
	line = bytes.TrimRight(line, "\r ")
	switch {
	case foreign(line, whole):
		return Foreign
	case whole || long:
		return Syslog
	default:
		return Undecided
	}
}

// maxOpening is how much of a first line is looked at. A longer one is let pass; web servers refuse requests that begin so.
const maxOpening = 8 << 10

// maxWord is the longest first word that is looked at, in bytes: no method or command is longer.
const maxWord = 32

// foreign reports whether line, or its beginning if it is not whole, is known from another protocol.
func foreign(line []byte, whole bool) bool {
	if bytes.HasPrefix(line, []byte("SSH-")) {
		return true
	}
	word, rest, spaced := bytes.Cut(line, []byte(" "))
	if len(word) > maxWord {
		return false
	}
	if whole && !spaced && resp(word) {
		return true
	}
	if !whole && !spaced {
		return false
	}
	switch string(bytes.ToUpper(word)) {
	case "EHLO", "HELO", "LHLO", "STARTTLS":
		return true
	case "MAIL":
		return prefixFold(rest, "FROM:<")
	case "RCPT":
		return prefixFold(rest, "TO:<")
	}
	switch string(word) { // these are written in capitals; in other letters they are words: "Report /var/log/x written"
	case "PROXY":
		return bytes.HasPrefix(rest, []byte("TCP")) || bytes.HasPrefix(rest, []byte("UNKNOWN"))
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "SEARCH", "REPORT":
		if len(rest) > 0 && (rest[0] == '/' || rest[0] == '*' || prefixFold(rest, "http")) {
			return true
		}
	}
	if last := rest[bytes.LastIndexByte(rest, ' ')+1:]; whole && spaced {
		for _, protocol := range []string{"HTTP/", "RTSP/", "SIP/", "ICAP/"} {
			if len(last) > len(protocol) && prefixFold(last, protocol) && digit(last[len(protocol)]) {
				return true
			}
		}
	}
	return false
}

// resp reports whether word is the head of a command as Redis clients send it: "*3".
func resp(word []byte) bool { return len(word) > 1 && word[0] == '*' && allDigits(word[1:]) }

// prefixFold reports whether s begins with prefix, in upper or lower case.
func prefixFold(s []byte, prefix string) bool {
	return len(s) >= len(prefix) && bytes.EqualFold(s[:len(prefix)], []byte(prefix))
}
