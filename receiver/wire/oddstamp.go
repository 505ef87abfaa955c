package wire

import "time"

// oddTime reads a timestamp that neither RFC has at the start of s, and returns its length, 0 if there is none:
//
//	2026-11-02 06:47:42.801612-0700        macOS, and whoever writes ISO 8601 with a blank; also with slashes
//	2026:11:06-00:08:03                    Sophos UTM
//	1795990000.123456                      seconds since 1970
//	Thu Jun 14 04:43:59 2026               ctime(3), logread of OpenWrt
//	Thu 2026-06-14 04:43:59 CEST           journalctl -o short-full
//	Sun, 29 Nov 2026 23:00:00 +0100        RFC 5322
//	juil. 28 16:42:17, 28. Okt 16:42:17    months of other languages
//	Nov 29 23:00:00 CET 2026               a year or a zone behind the clock
//
// The time is zero if it looks like one but no such time exists.
func (p *Parser) oddTime(s []byte, received time.Time) (time.Time, int) {
	i := weekday(s)
	if t, n := p.epoch(s[i:]); n > 0 && i == 0 {
		return t, n
	}
	d, n := oddDate(s[i:])
	if n == 0 {
		return time.Time{}, 0
	}
	i += n
	c, ok := clockAt(s, i)
	if !ok {
		return time.Time{}, 0
	}
	i += 8
	nanos, n := fraction(s, i)
	i += n
	tail := stampTail{loc: p.loc, yeared: d.year != 0}
	if d.year != 0 {
		tail.t = date(d.year, d.month, d.day, c, p.loc)
	} else {
		tail.t, _ = p.inferYear(d.month, d.day, c, received)
	}
	if !tail.t.IsZero() {
		tail.t = tail.t.Add(nanos)
	}
	i += tail.read(s[i:])
	if i >= len(s) || !endsStamp(s[i:]) {
		return time.Time{}, 0
	}
	return tail.t, i
}

// epoch reads seconds since 1970: ten digits, and a fraction.
func (p *Parser) epoch(s []byte) (time.Time, int) {
	seconds, ok := number(s, 0, 10)
	if !ok || s[0] == '0' {
		return time.Time{}, 0
	}
	nanos, n := fraction(s, 10)
	if 10+n >= len(s) || s[10+n] != ' ' {
		return time.Time{}, 0
	}
	return time.Unix(int64(seconds), int64(nanos)).In(p.loc), 10 + n
}

// weekday returns the length of "Thu " and "Thu, " at the start of s, 0 if it is neither.
func weekday(s []byte) int {
	if len(s) < 5 {
		return 0
	}
	switch string(s[:3]) {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
	default:
		return 0
	}
	switch {
	case s[3] == ' ':
		return 4
	case s[3] == ',' && s[4] == ' ':
		return 5
	default:
		return 0
	}
}

// oddDay is a day, without a year if that is 0.
type oddDay struct{ year, month, day int }

// oddDate reads a date and what is between it and the clock.
func oddDate(s []byte) (d oddDay, n int) {
	if len(s) < len("Nov 2 05:40:00") {
		return d, 0
	}
	if !digit(s[0]) {
		return monthFirst(s)
	}
	year, ok := number(s, 0, 4)
	if !ok {
		return dayFirst(s)
	}
	month, ok1 := number(s, 5, 2)
	day, ok2 := number(s, 8, 2)
	if !ok1 || !ok2 || s[7] != s[4] || len(s) < 11 {
		return d, 0
	}
	switch between := s[10]; {
	case s[4] == ':' && between == '-', (s[4] == '-' || s[4] == '/' || s[4] == '.') && between == ' ':
		return oddDay{year, month, day}, 11
	default:
		return d, 0
	}
}

// monthFirst reads "juil. 28 " and "November 2 2026 ".
func monthFirst(s []byte) (d oddDay, n int) {
	if d.month, n = monthName(s); n == 0 || n == len(s) || s[n] != ' ' {
		return d, 0
	}
	for n < len(s) && s[n] == ' ' {
		n++
	}
	day, m := dayNumber(s[n:])
	if m == 0 {
		return d, 0
	}
	d.day, n = day, n+m
	if n < len(s) && (s[n] == ',' || s[n] == '.') {
		n++
	}
	if n == len(s) || s[n] != ' ' {
		return d, 0
	}
	n++
	if year, ok := number(s, n, 4); ok && len(s) > n+4 && s[n+4] == ' ' {
		d.year, n = year, n+5
	}
	return d, n
}

// dayFirst reads "28 Nov 2026 ", "28. Okt ", "28-Nov-2026 " and "28/Nov/2026:".
func dayFirst(s []byte) (d oddDay, n int) {
	if d.day, n = dayNumber(s); n == 0 {
		return d, 0
	}
	if s[n] == '.' {
		n++
	}
	between := s[n]
	if between != ' ' && between != '-' && between != '/' {
		return d, 0
	}
	n++
	month, m := monthName(s[n:])
	if n += m; m == 0 || n == len(s) || s[n] != between {
		return d, 0
	}
	d.month = month
	n++
	if year, ok := number(s, n, 4); ok && len(s) > n+4 && (s[n+4] == ' ' || s[n+4] == ':' && between == '/') {
		d.year, n = year, n+5
	}
	if d.year == 0 && between != ' ' {
		return d, 0
	}
	return d, n
}

// dayNumber reads one or two digits, which no third follows.
func dayNumber(s []byte) (day, n int) {
	for n < len(s) && n < 2 && digit(s[n]) {
		day = day*10 + int(s[n]-'0')
		n++
	}
	if n == 0 || n == len(s) || digit(s[n]) {
		return 0, 0
	}
	return day, n
}

// stampTail is what may follow a clock: a zone, a year, or both in either order.
type stampTail struct {
	t      time.Time
	loc    *time.Location
	yeared bool
	zoned  bool
}

// read moves t by what the beginning of s says, and returns how long that is.
func (x *stampTail) read(s []byte) (n int) {
	if offset, m, ok := zone(s, 0); ok {
		x.shift(offset)
		n = m
	}
	for range 2 {
		if len(s) <= n+1 || s[n] != ' ' {
			break
		}
		m := x.word(s[n+1:])
		if m == 0 {
			break
		}
		n += 1 + m
	}
	return n
}

// word reads a year or a zone that a blank parts from what is before it.
func (x *stampTail) word(s []byte) int {
	if year, ok := number(s, 0, 4); ok && !x.yeared && len(s) > 4 && endsStamp(s[4:]) {
		x.yeared = true
		x.setYear(year)
		return 4
	}
	if x.zoned {
		return 0
	}
	if s[0] == '+' || s[0] == '-' {
		if offset, n, ok := zone(s, 0); ok {
			x.shift(offset)
			return n
		}
		return 0
	}
	n := 0
	for n < len(s) && s[n]-'A' < 26 {
		n++
	}
	if n == 0 || n > 5 || !endsStamp(s[n:]) || !zoneName(s[:n]) {
		return 0
	}
	x.zoned = true
	switch string(s[:n]) {
	case "UTC", "GMT", "Z":
		x.zoned = false
		x.shift(0)
	}
	return n
}

func (x *stampTail) setYear(year int) {
	if x.t.IsZero() {
		return
	}
	t := x.t
	x.t = date(year, int(t.Month()), t.Day(), clock{t.Hour(), t.Minute(), t.Second()}, t.Location())
	if !x.t.IsZero() {
		x.t = x.t.Add(time.Duration(t.Nanosecond()))
	}
}

// shift makes t, so far in loc, the instant that the same clock shows in a zone.
func (x *stampTail) shift(offset time.Duration) {
	if x.zoned || x.t.IsZero() {
		x.zoned = true
		return
	}
	x.zoned = true
	t := x.t.In(x.loc)
	x.t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC).Add(-offset).In(x.loc)
}

// zoneName reports whether a word is an abbreviation that clocks show. Only those of UTC say what they are short for everywhere;
// others are taken for the source's zone.
func zoneName(word []byte) bool {
	switch string(word) {
	case "UTC", "GMT", "Z", "WET", "WEST", "CET", "CEST", "MET", "MEST", "EET", "EEST", "MSK", "BST", "IST", "IDT", "SAST", "CAT", "EAT", "WAT", "PKT", "WIB",
		"PST", "PDT", "MST", "MDT", "CST", "CDT", "EST", "EDT", "AST", "ADT", "NST", "NDT", "AKST", "AKDT", "HST", "SST", "BRT", "ART", "CLT",
		"HKT", "SGT", "JST", "KST", "ACST", "ACDT", "AEST", "AEDT", "AWST", "NZST", "NZDT":
		return true
	}
	return false
}

// monthName reads a month's name, or what is written for it, in any of the languages below, and returns its length with the point
// behind it: 0 if it is none.
func monthName(s []byte) (month, n int) {
	const longest = len("septiembre")
	var lower [longest + 1]byte
	for n < len(s) && n < len(lower) && (s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z' || s[n] >= 0x80) {
		lower[n] = s[n]
		if s[n] < 0x80 {
			lower[n] |= 0x20
		}
		n++
	}
	if n < 3 || n == len(lower) {
		return 0, 0
	}
	month = monthOf(lower[:n])
	if month == 0 {
		return 0, 0
	}
	if n < len(s) && s[n] == '.' {
		n++
	}
	return month, n
}

// monthOf knows what glibc's strftime(3) writes for %b (abmon of its locales, those of older releases included) in English, French,
// German, Spanish, Italian, Dutch, Polish, Portuguese and Swedish, in UTF-8 and in ISO 8859-1 and -2; musl's writes English alone. Full
// names of English are in it because people configure %B.
func monthOf(name []byte) int {
	if len(name) > 4 {
		return longMonth(name)
	}
	switch string(name) {
	case "jan", "janv", "gen", "ene", "sty", "j\xe4n", "jän":
		return 1
	case "feb", "fev", "fév", "f\xe9v", "lut", "f\xe9vr", "fevr":
		return 2
	case "mar", "mars", "mär", "m\xe4r", "mrz", "mrt", "maa":
		return 3
	case "apr", "avr", "abr", "kwi":
		return 4
	case "may", "mai", "mei", "maj", "mag":
		return 5
	case "jun", "juin", "june", "giu", "cze":
		return 6
	case "jul", "juil", "july", "lug", "lip":
		return 7
	case "aug", "ao\xfbt", "aou", "aoû", "ao\xfb", "ago", "sie":
		return 8
	case "sep", "sept", "set", "wrz":
		return 9
	case "oct", "okt", "ott", "out", "paź", "pa\xbc", "paz":
		return 10
	case "nov", "lis":
		return 11
	case "dec", "déc", "d\xe9c", "dez", "dic", "gru":
		return 12
	}
	return 0
}

func longMonth(name []byte) int {
	switch string(name) {
	case "january":
		return 1
	case "february", "févr":
		return 2
	case "march":
		return 3
	case "april", "avril":
		return 4
	case "august", "août":
		return 8
	case "september":
		return 9
	case "october":
		return 10
	case "november":
		return 11
	case "december":
		return 12
	}
	return 0
}
