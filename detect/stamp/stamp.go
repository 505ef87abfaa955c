// Package stamp reads the times that programs write into their messages, in the forms that logs have: at the front of a
// message, where a frame and patterns come after it, and as a value of an access log or of a JSON object. It takes any bytes,
// allocates nothing and guesses no zone and no year: what the message leaves open is an argument of Stamp.Time. The header of a record
// is receiver/wire's.
package stamp

import (
	"slices"
	"time"

	"tattled/event"
)

// Stamp is when something happened by a message's own word. The zero Stamp says nothing.
type Stamp struct {
	seconds int64 // since 1970; of what a clock showed, unless zoned. Without a year they are those of the year 0
	nanos   int32
	kind    stampKind
}

type stampKind uint8

const (
	stampNone     stampKind = iota
	stampZoned              // an instant
	stampLocal              // what a clock showed, in a zone that the message does not tell
	stampYearless           // the same, without the year
)

// Time returns the instant. loc is the zone of a stamp that tells of none (an abbreviation other than UTC, GMT and Z names
// no one zone, so it counts as none). latest is when the message was read: a stamp without a year gets it by event.InYear. ok
// is false if the message had no stamp.
func (s Stamp) Time(loc *time.Location, latest time.Time) (t time.Time, ok bool) {
	u := time.Unix(s.seconds, int64(s.nanos)).UTC()
	switch s.kind {
	case stampZoned:
		return u, true
	case stampLocal:
		return time.Date(u.Year(), u.Month(), u.Day(), u.Hour(), u.Minute(), u.Second(), u.Nanosecond(), loc), true
	case stampYearless:
		return event.InYear(u, loc, latest)
	}
	return time.Time{}, false
}

// IsZero reports whether the message had no stamp.
func (s Stamp) IsZero() bool { return s.kind == stampNone }

// Zoned reports whether the stamp names an instant, whatever the zone of the machine that wrote it.
func (s Stamp) Zoned() bool { return s.kind == stampZoned }

// Take reads the stamp that m begins with and returns how long it is, with what parts it from the message: 0 if there is
// none, and then s is as it was.
//
//	[2006-01-02 15:04:05.123 +0100]: message
func (s *Stamp) Take(m []byte) (length int) {
	if len(m) < len("1795300000.1 ") {
		return 0
	}
	at := 0
	if m[0] == '[' {
		at = 1
	}
	found, n := readStamp(m[at:])
	if n == 0 {
		return 0
	}
	end := at + n
	if found.kind == stampLocal {
		zoned := found
		if n := zoned.Zone(m[end:], at == 1); n > 0 && bounded(m, end+n) {
			found = zoned
			end += n
		}
	}
	if at == 1 {
		if end == len(m) || m[end] != ']' {
			return 0
		}
		end++
	}
	from := end
	if end < len(m) && m[end] == ':' {
		end++
	}
	for end < len(m) && m[end] == ' ' {
		end++
	}
	if end == from && (at == 0 || end == len(m) || m[end] != '[') { // "[stamp][level] " needs nothing between
		return 0
	}
	*s = found
	return end
}

// bounded reports whether something that ends at m[:at] ends there.
func bounded(m []byte, at int) bool {
	return at == len(m) || m[at] == ' ' || m[at] == ':' || m[at] == ']'
}

// readStamp reads a stamp in any of the forms, without a zone that a space parts from it, and returns how long it is.
func readStamp(m []byte) (s Stamp, length int) {
	switch c := m[0]; {
	case c-'0' <= 9:
		switch {
		case m[4] == '-', m[4] == '/':
			return readISO(m)
		case m[2] == '-', m[2] == ' ', m[2] == '/':
			return ReadDayFirst(m)
		case m[10] == '.':
			return readEpoch(m)
		case m[8] == '-':
			return readCompact(m)
		}
	case c == 'S', c == 'M', c == 'T', c == 'W', c == 'F': // Sun and so on; March and May, September too
		if slices.Contains(weekdays[:], [3]byte(m[:3])) && m[3] == ' ' {
			return readWeekday(m)
		}
		return readMonthFirst(m)
	case c-'A' <= 'Z'-'A':
		return readMonthFirst(m)
	case c == '@':
		return readTAI(m)
	}
	return s, 0
}

var weekdays = [7][3]byte{{'S', 'u', 'n'}, {'M', 'o', 'n'}, {'T', 'u', 'e'}, {'W', 'e', 'd'}, {'T', 'h', 'u'}, {'F', 'r', 'i'}, {'S', 'a', 't'}}

// readISO reads 2006-01-02 15:04:05, with a T for the space too, and 2006/01/02 15:04:05.
func readISO(m []byte) (s Stamp, length int) {
	if len(m) < len("2006-01-02 15:04:05") || m[7] != m[4] || m[10] != ' ' && (m[10] != 'T' || m[4] != '-') {
		return s, 0
	}
	return readClock(date{fourDigits(m), twoDigits(m[5:]), twoDigits(m[8:])}, m, 11)
}

// readCompact reads 20060102-15:04:05.
func readCompact(m []byte) (s Stamp, length int) {
	if len(m) < len("20060102-15:04:05") {
		return s, 0
	}
	return readClock(date{fourDigits(m), twoDigits(m[4:]), twoDigits(m[6:])}, m, 9)
}

// ReadDayFirst reads 22-Nov-2026 10:00:00, 22 Nov 2026 10:00:00 and 22/Nov/2026:10:00:00, with a zone that follows at once, at
// the front of m, and returns how long that is: 0 if it is none of them.
func ReadDayFirst(m []byte) (s Stamp, length int) {
	if len(m) < len("02-Jan-2006 15:04:05") || m[6] != m[2] {
		return s, 0
	}
	if between := m[11]; between != ' ' && between != ':' || (between == ':') != (m[2] == '/') {
		return s, 0
	}
	return readClock(date{fourDigits(m[7:]), monthOf(m[3:]), twoDigits(m)}, m, 12)
}

// readWeekday reads Sun Nov 22 10:00:00 2026, also with a fraction behind the seconds.
func readWeekday(m []byte) (s Stamp, length int) {
	if len(m) < len("Mon Jan 2 15:04:05 2006") || m[7] != ' ' {
		return s, 0
	}
	day, clock := dayAt(m, 8)
	if clock == 0 {
		return s, 0
	}
	const anyYear = 2000 // it is not known where the year stands before the clock is read
	month := monthOf(m[4:])
	s, end := readClock(date{anyYear, month, day}, m, clock)
	if s.kind != stampLocal || len(m) < end+len(" 2006") || m[end] != ' ' {
		return Stamp{}, 0
	}
	d := date{fourDigits(m[end+1:]), month, day}
	if !d.valid() {
		return Stamp{}, 0
	}
	s.seconds += (d.days() - date{anyYear, month, day}.days()) * secondsOfDay
	return s, end + len(" 2006")
}

// readMonthFirst reads Nov 22 10:00:00.
func readMonthFirst(m []byte) (s Stamp, length int) {
	day, clock := dayAt(m, 4)
	if m[3] != ' ' || clock == 0 {
		return s, 0
	}
	if s, length = readClock(date{0, monthOf(m), day}, m, clock); s.kind != stampLocal {
		return Stamp{}, 0
	}
	s.kind = stampYearless
	return s, length
}

// dayAt reads the day at m[at:], of two digits or one, which a blank may precede, and returns where the clock after it begins: 0 if no blank
// is between the two. m has three bytes more at least.
func dayAt(m []byte, at int) (day, clock int) {
	switch {
	case m[at+2] == ' ':
		return paddedDigits(m[at:]), at + 3
	case m[at+1] == ' ' && m[at]-'0' <= 9: // as texts have it that lost a blank on their way
		return int(m[at] - '0'), at + 2
	}
	return 0, 0
}

// readEpoch reads 1795300000.123.
func readEpoch(m []byte) (s Stamp, length int) {
	for i, c := range m[:10] {
		if c-'0' > 9 || i == 0 && c == '0' {
			return s, 0
		}
		s.seconds = s.seconds*10 + int64(c-'0')
	}
	s.kind = stampZoned
	nanos, n := fraction(m[10:])
	if n == 0 {
		return Stamp{}, 0
	}
	s.nanos = nanos
	return s, 10 + n
}

// readTAI reads @400000004c91b044077a9e94: 2^62 and the seconds, then the nanoseconds, as daemontools' multilog and svlogd
// write them. Their seconds are those of Unix and 10 (cr.yp.to/daemontools/tai64n.html).
func readTAI(m []byte) (s Stamp, length int) {
	const (
		length64N = len("@400000004c91b044077a9e94")
		base      = 1<<62 + 10
	)
	if len(m) < length64N {
		return s, 0
	}
	var fields [2]uint64 // the first overflows for nothing that begins with 4
	for i, c := range m[1:length64N] {
		digit := uint64(c - '0')
		switch {
		case c-'0' <= 9:
		case c-'a' < 6:
			digit = uint64(c-'a') + 10
		default:
			return s, 0
		}
		fields[i/16] = fields[i/16]<<4 | digit
	}
	if fields[0] < base || fields[0] >= base+1<<40 || fields[1] >= 1e9 {
		return s, 0
	}
	return Stamp{seconds: int64(fields[0] - base), nanos: int32(fields[1]), kind: stampZoned}, length64N
}

// readClock reads the clock at m[at:], and the zone that follows it at once, and returns the stamp with where it ends.
func readClock(d date, m []byte, at int) (s Stamp, end int) {
	if len(m) < at+len("15:04:05") || m[at+2] != ':' || m[at+5] != ':' {
		return s, 0
	}
	hour, minute, second := twoDigits(m[at:]), twoDigits(m[at+3:]), twoDigits(m[at+6:])
	if m[4] == '-' {
		hour = paddedDigits(m[at:]) // MariaDB
	}
	if !d.valid() || uint(hour) > 23 || uint(minute) > 59 || uint(second) > 59 {
		return s, 0
	}
	s.kind, s.seconds = stampLocal, d.days()*secondsOfDay+int64(hour*3600+minute*60+second)
	at += len("15:04:05")
	nanos, n := fraction(m[at:])
	s.nanos = nanos
	at += n
	switch {
	case at == len(m):
	case m[at] == 'Z':
		s.kind = stampZoned
		at++
	case m[at] == '+', m[at] == '-':
		n := s.offset(m[at:])
		if n == 0 {
			return Stamp{}, 0
		}
		at += n
	}
	return s, at
}

// fraction reads a point or a comma and up to nine digits, and returns how long that is. Without digits it is none.
func fraction(m []byte) (nanos int32, length int) {
	if len(m) < 2 || m[0] != '.' && m[0] != ',' || m[1]-'0' > 9 {
		return 0, 0
	}
	for length = 1; length <= 9; length++ {
		nanos *= 10
		if length < len(m) && m[length]-'0' <= 9 {
			nanos += int32(m[length] - '0')
			continue
		}
		for rest := length; rest < 9; rest++ {
			nanos *= 10
		}
		return nanos, length
	}
	return nanos, length
}

// offset reads +01, +0100 or +01:00, and returns how long it is.
func (s *Stamp) offset(m []byte) (length int) {
	if len(m) < 3 {
		return 0
	}
	hours, minutes, length := twoDigits(m[1:]), 0, 3
	if len(m) >= 5 && m[3]-'0' <= 9 {
		minutes, length = twoDigits(m[3:]), 5
	} else if len(m) >= 6 && m[3] == ':' && twoDigits(m[4:]) >= 0 {
		minutes, length = twoDigits(m[4:]), 6
	}
	if uint(hours) > 23 || uint(minutes) > 59 {
		return 0
	}
	seconds := int64(hours*60+minutes) * 60
	if m[0] == '-' {
		seconds = -seconds
	}
	s.seconds -= seconds
	s.kind = stampZoned
	return length
}

// Zone reads a zone after a space, and returns how long that is. Within brackets it may be any name, elsewhere only a
// known abbreviation, because it might be the message's first word.
func (s *Stamp) Zone(m []byte, bracketed bool) (length int) {
	if len(m) < 2 || m[0] != ' ' {
		return 0
	}
	if m[1] == '+' || m[1] == '-' {
		if n := s.offset(m[1:]); n > 0 {
			return 1 + n
		}
		return 0
	}
	n := 1
	for n < len(m) && n <= maxZone && zoneByte(m[n], bracketed) {
		n++
	}
	switch name := m[1:n]; {
	case n == 1:
		return 0
	case string(name) == "UTC", string(name) == "GMT", string(name) == "Z":
		s.kind = stampZoned
	case !bracketed && !isZone(name):
		return 0
	}
	return n
}

// maxZone bounds the name of a zone in bytes: "America/Argentina/ComodRivadavia" has 32.
const maxZone = 40

func zoneByte(c byte, bracketed bool) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || bracketed && (c == '/' || c == '_' || c == '-' || c == '+' || c-'0' <= 9)
}

// isZone reports whether a word is one of the abbreviations that the zone database has for the clocks of today.
func isZone(name []byte) bool {
	switch string(name) {
	case "WET", "WEST", "CET", "CEST", "EET", "EEST", "MSK", "BST", "IST", "IDT", "SAST", "CAT", "EAT", "WAT", "PKT", "WIB", "WITA", "WIT",
		"PST", "PDT", "MST", "MDT", "CST", "CDT", "EST", "EDT", "AST", "ADT", "NST", "NDT", "AKST", "AKDT", "HST", "HDT", "SST", "ChST",
		"HKT", "JST", "KST", "AWST", "ACST", "ACDT", "AEST", "AEDT", "NZST", "NZDT":
		return true
	}
	return false
}

// date is a day of the Gregorian calendar. What was no number is negative.
type date struct{ year, month, day int }

const secondsOfDay = 24 * 60 * 60

func (d date) valid() bool {
	if d.year < 0 || d.month < 1 || d.month > 12 || d.day < 1 {
		return false
	}
	last := int(daysBefore[d.month] - daysBefore[d.month-1])
	if d.month == 2 && d.leap() {
		last++
	}
	return d.day <= last
}

func (d date) leap() bool { return d.year%4 == 0 && (d.year%100 != 0 || d.year%400 == 0) }

// days returns how many days it is since the first of 1970.
func (d date) days() int64 {
	const since0 = 719528 // of 1970
	n := 365*d.year + (d.year+3)/4 - (d.year+99)/100 + (d.year+399)/400 + int(daysBefore[d.month-1]) + d.day - 1
	if d.month > 2 && d.leap() {
		n++
	}
	return int64(n - since0)
}

// daysBefore has how many days of a year without a leap day are over when a month begins.
var daysBefore = [13]uint16{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}

func monthOf(m []byte) int {
	switch string(m[:3]) {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	default:
		return -1
	}
}

// twoDigits returns the number that m begins with, -1 if that is none.
func twoDigits(m []byte) int {
	tens, ones := m[0]-'0', m[1]-'0'
	if tens > 9 || ones > 9 {
		return -1
	}
	return int(tens)*10 + int(ones)
}

// paddedDigits is twoDigits with a space allowed for the first.
func paddedDigits(m []byte) int {
	if ones := m[1] - '0'; m[0] == ' ' && ones <= 9 {
		return int(ones)
	}
	return twoDigits(m)
}

func fourDigits(m []byte) int {
	high, low := twoDigits(m), twoDigits(m[2:])
	if high < 0 || low < 0 {
		return -1
	}
	return high*100 + low
}

// Parse reads a value that is a time: a stamp in any of the forms, or the seconds since 1970, perhaps with a fraction; or
// the milliseconds, micro- or nanoseconds, which numbers of 13, 16 and 19 digits are.
func Parse(b []byte) Stamp {
	digits := 0
	for digits < len(b) && b[digits]-'0' <= 9 {
		digits++
	}
	if whole := digits == len(b); digits >= 9 && digits <= 19 && (whole || b[digits] == '.') {
		var n int64
		for _, c := range b[:digits] {
			n = n*10 + int64(c-'0')
		}
		perSecond := int64(1)
		switch digits {
		case 9, 10:
		case 13:
			perSecond = 1e3
		case 16:
			perSecond = 1e6
		case 19:
			perSecond = 1e9
		default:
			return Stamp{}
		}
		nanos, length := fraction(b[digits:])
		if digits+length != len(b) || perSecond > 1 && !whole || n < 0 {
			return Stamp{}
		}
		return Stamp{kind: stampZoned, seconds: n / perSecond, nanos: nanos + int32(n%perSecond*(1e9/perSecond))}
	}
	if len(b) < len("Jan  2 15:04:05") {
		return Stamp{}
	}
	s, n := readStamp(b)
	if n > 0 && s.kind == stampLocal {
		n += s.Zone(b[n:], true)
	}
	if n != len(b) {
		return Stamp{}
	}
	return s
}
