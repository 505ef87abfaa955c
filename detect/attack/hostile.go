package attack

import (
	"math/rand/v2"
	"slices"
	"strings"

	"tattled/detect"
	"tattled/detect/parse"
	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// Whom a line is from, and whom its sender would like to be blamed instead. All are of networks for documentation.
const (
	peer4, peer6       = "203.0.113.5", "2001:db8::5"
	planted4, planted6 = "198.51.100.66", "2001:db8:bad::66"
)

// hostile writes what a peer might send for a name, a reason, a path: other lines of the same log with somebody else's
// address, the end of the line that it will stand in, and bytes that break something elsewhere.
type hostile struct {
	*rand.Rand
	current *target  // whose line is written
	targets []target // what is written under the same programs
	frames  []string // what may stand around their messages
}

// target is a form of line that a program writes.
type target struct {
	rule *detect.Rule
	at   rulefile.Text // the pattern, the expression or the sample, with its line in the rule's file
	// own says that the program writes what the rule says and peers fill nothing else than what it says they can; without,
	// peers fill what experience says.
	own bool
	// peers are whom a line may be from; without any it is written within hostile texts only.
	peers []string
	// shapes are the ways to write out a pattern; nil where it is none.
	shapes []pattern.Written
	// write writes the line. With depth > 0 it is text within a hostile text.
	write func(h *hostile, peer string, depth int) []piece
}

// piece is a part of a line.
type piece struct {
	text string
	hole hole
}

// hole says what a peer may write for a piece.
type hole uint8

const (
	notHole    hole = iota
	narrowHole      // what its class and its length admit
	freeHole        // anything, also nothing
)

func joined(line []piece) string {
	var b strings.Builder
	for _, p := range line {
		b.WriteString(p.text)
	}
	return b.String()
}

// plantedAddresses are ways to write an address that a lenient reader might take.
var plantedAddresses = []string{
	planted4, planted4, planted4, planted6, planted6, "::ffff:" + planted4, "[" + planted6 + "]", "[" + planted4 + "]", planted4 + ":22", "[" + planted6 + "]:22",
	planted6 + ":22", "fe80::66%eth0", planted6 + "%1", "0306.063.0144.0102", "198.51.100.066", "3325256770", "0xc6336442", "198.51.25666", planted4 + ".",
	"198\u2024" + "51\u2024" + "100\u2024" + "66", "\uff11\uff19\uff18.51.100.66", "198.51.100.66/32", "66.100.51.198.in-addr.arpa", "198-51-100-66.example.org", "c6336442",
}

// hostileTexts are what has confused readers of logs, of files and of terminals.
var hostileTexts = []string{
	"", " ", "  ", "\t", "a", "root", "a b", "-", ".", ":", "=", "\"", "'", "`", "\"\"", "\\", "\\\"", "]", "[", "(", ")", "{", "}", "<", ">", ",", ", ", "; ", "|", "#", "%", "%s", "%n",
	"\n", "\r\n", "\x00", "\x1b[31m", "\x1b]0;x\a", "\x7f", "\u2028", "\u202e", "\u200b", "\ufeff", "\u00a0", "\uff0e", "\xff\xfe", "\xc0\xae", "\xed\xa0\x80", "%0a", "%00", "&#10;", "\\n", "#012",
	"<ip>", "{a|b}", "$1", "../../etc/passwd", "\" 200 0 \"", "' or 1=1 --", "host.example.org", "UNKNOWN", "unknown", "localhost", "127.0.0.1",
	"from ", " from ", " port 22", " port 22 ssh2", "rhost=", " rhost=", "  user=", "user=", "ruser=", "ip=", "rip=", ", client: ", "client=", " [", "] ", "): ", ": ", "X-Forwarded-For: ",
	"SRC=", " IN=eth0 OUT= ", " DST=192.0.2.10 PROTO=TCP SPT=1 DPT=22 ", "error: ", "fatal: ", "[preauth]", "message repeated 2 times: [ ", "last message repeated 2 times",
	"2026/11/22 10:00:00 ", "2026-11-22T10:00:00Z ", "[2026-11-22 10:00:00] ", "Sun Nov 22 10:00:00 2026 ", "1795300000.123 ", "Nov 22 10:00:00 web1 sshd[1]: ", "<38>Nov 22 10:00:00 web1 ",
	"18446744073709551616", "-1", "0", "00000000000000000001", "65536", "1e9",
}

// longestText bounds a hostile text, in bytes; few of them are that long.
const longestText = 30_000

// address writes an address of somebody who has nothing to do with the line.
func (h *hostile) address() string { return h.one(plantedAddresses) }

func (h *hostile) one(list []string) string { return list[h.IntN(len(list))] }

// text writes a hostile text. What stands within another one is mostly short, so that few are very long.
func (h *hostile) text(depth int) string {
	k := h.IntN(100)
	if depth > 0 && h.IntN(4) > 0 || depth > 3 {
		k %= 32
	}
	switch {
	case k < 24:
		return h.one(hostileTexts)
	case k < 32:
		return h.address()
	case k < 48:
		return h.text(depth+1) + h.text(depth+1)
	case k < 52 && len(h.frames) > 0:
		return h.one(h.frames) + h.text(depth+1)
	case k < 56 && len(h.frames) > 0:
		return h.text(depth+1) + h.one(h.frames)
	case k == 56 && depth == 0 && h.IntN(8) == 0:
		part := h.part(depth) + " "
		return strings.Repeat(part, 1+h.IntN(longestText/len(part)+1))
	default:
		return h.part(depth)
	}
}

// part writes a line of the same log, or a part of one: as often as not, of the very line that it stands in.
func (h *hostile) part(depth int) string {
	t := h.current
	if h.IntN(2) == 0 {
		t = &h.targets[h.IntN(len(h.targets))]
	}
	planted := planted4 // in the form that every reader takes
	if h.IntN(3) == 0 {
		planted = h.address()
	}
	line := t.write(h, planted, depth+1)
	at := slices.IndexFunc(line, func(p piece) bool { return p.hole == notHole && strings.Contains(p.text, planted) })
	switch cut := h.IntN(len(line) + 1); h.IntN(8) {
	case 0:
		return joined(line)
	case 1:
		return joined(line[:cut])
	case 2, 3:
		return joined(line[cut:])
	default: // with the address, and where that may end the line as its reader sees it
		return joined(line[h.IntN(at+2) : at+1+h.IntN(len(line)-at)])
	}
}

// cut makes a line so long, by what its peer chooses, that a relay cuts it, and ends it where the peer wants: as often as not
// behind an address, or what it wrote behind that. A line in which a peer chooses nothing is not cut.
func (h *hostile) cut(line []piece) []piece {
	free := slices.IndexFunc(line, func(p piece) bool { return p.hole == freeHole })
	if free < 0 {
		return line
	}
	least := parse.LongestBehind + 100 + h.IntN(8000)
	line = slices.Clone(line)
	wanted := h.part(1)
	line[free].text += strings.Repeat("x", least) + wanted
	for i := range line[free+1:] { // all behind that is gone
		line[free+1+i] = piece{}
	}
	if at := strings.LastIndex(wanted, planted4); at >= 0 && h.IntN(2) == 0 {
		behind := at + len(planted4)
		line[free].text = strings.TrimSuffix(line[free].text, wanted[behind+h.IntN(len(wanted)-behind+1):])
	}
	return line
}

// narrow writes a hostile text as far as a narrow field can hold it: at least one byte, and no more than it may have.
func (h *hostile) narrow(f pattern.Field, depth int) string {
	b := []byte(h.text(depth))
	kept := b[:0]
	for _, c := range b {
		if f.Holds(c) && len(kept) < f.Longest() {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return "w"
	}
	return string(kept)
}

// number writes digits.
func (h *hostile) number(f pattern.Field) string {
	if f == pattern.Int {
		return h.one([]string{"0", "1", "00", "22", "4022", "2147483648", "18446744073709551616", "99999999999999999999"})
	}
	return h.one([]string{"0", "1", "22", "00022", "4022", "65535"})
}

// around writes what may stand around a message.
func (h *hostile) around(s *detect.Service, before, after string, line []piece) []piece {
	frame := s.Frame()
	if before == "" && len(frame.Before) > 0 && h.IntN(4) == 0 {
		before = h.one(frame.Before)
	}
	if after == "" && len(frame.After) > 0 && h.IntN(3) == 0 {
		after = h.one(frame.After)
	}
	if s.Stamped() && h.IntN(2) == 0 {
		before = h.one([]string{"2026/11/22 10:00:00 ", "2026-11-22T10:00:00.123Z ", "[2026-11-22 10:00:00]: ", "Sun Nov 22 10:00:00 2026: ", "Nov 22 10:00:00 "}) + before
	}
	if h.IntN(30) == 0 {
		before, after = "message repeated 2 times: [ "+before, after+"]"
	}
	all := append([]piece{{text: before}}, line...)
	return append(all, piece{text: after})
}
