package stamp

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stampLayouts are the forms of stamps, without a zone, as package time writes them.
var stampLayouts = []string{
	"20060102-15:04:05",
	"2006/01/02 15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "Mon Jan _2 15:04:05 2006", "Jan _2 15:04:05",
	"02-Jan-2006 15:04:05", "02 Jan 2006 15:04:05", "02/Jan/2006:15:04:05",
}

// parseStamp reads a stamp with package time. known says whether it names an instant, or only what a clock showed.
func parseStamp(text string) (t time.Time, zoned, ok bool) {
	if seconds, fraction, found := strings.Cut(text, "."); found && len(seconds) == 10 {
		n, err := strconv.ParseInt(seconds, 10, 64)
		nanos, err2 := strconv.ParseUint((fraction + "00000000")[:9], 10, 32)
		return time.Unix(n, int64(nanos)), true, err == nil && err2 == nil && len(fraction) <= 9
	}
	if digits, found := strings.CutPrefix(text, "@4"); found && len(digits) == 23 {
		n, err := strconv.ParseInt(digits[:15], 16, 64)
		nanos, err2 := strconv.ParseInt(digits[15:], 16, 64)
		return time.Unix(n-10, nanos), true, err == nil && err2 == nil
	}
	if len(text) > 11 && text[11] == ' ' && text[4] == '-' { // an hour with a space, which package time does not know
		text = text[:11] + "0" + text[12:]
	}
	for _, layout := range stampLayouts {
		for _, zone := range []string{"", "Z07:00", "Z0700", "Z07", " -0700", " -07:00", " -07"} {
			if t, err := time.Parse(layout+zone, text); err == nil {
				return t, zone != "", true
			}
		}
		if at := strings.LastIndexByte(text, ' '); at > 0 {
			if t, err := time.Parse(layout, text[:at]); err == nil {
				name := text[at+1:]
				return t, name == "UTC" || name == "GMT" || name == "Z", true
			}
		}
	}
	return time.Time{}, false, false
}

// sameStamp compares the stamp of a message with what package time says of it.
func sameStamp(t *testing.T, message string) (taken int) {
	t.Helper()
	var s Stamp
	taken = s.Take([]byte(message))
	if taken == 0 {
		if s != (Stamp{}) {
			t.Fatalf("%q has no stamp and leaves %+v", message, s)
		}
		return 0
	}
	text := strings.TrimRight(message[:taken], " ")
	text = strings.TrimSuffix(text, ":")
	if text[0] == '[' {
		text = strings.TrimSuffix(text[1:], "]")
	}
	zone := time.FixedZone("here", -5*3600)
	latest := time.Date(2026, 11, 22, 10, 0, 0, 0, zone)
	want, zoned, ok := parseStamp(text)
	if !ok {
		t.Fatalf("%q: time.Parse knows no %q", message, text)
	}
	if !zoned {
		want = time.Date(want.Year(), want.Month(), want.Day(), want.Hour(), want.Minute(), want.Second(), want.Nanosecond(), zone)
	}
	got, ok := s.Time(zone, latest)
	if s.kind == stampYearless {
		if !ok || got.After(latest.Add(24*time.Hour)) || got.Before(latest.AddDate(-8, 0, 0)) {
			t.Fatalf("%q is in the year %v", message, got)
		}
		want = time.Date(got.Year(), want.Month(), want.Day(), want.Hour(), want.Minute(), want.Second(), want.Nanosecond(), zone)
	}
	if !ok || !got.Equal(want) {
		t.Fatalf("%q is at %v, not %v", message, got, want)
	}
	return taken
}

// TestStamp writes random times in every form, whole and damaged.
func TestStamp(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 5))
	zones := []string{"", "Z", "+0000", "+01:00", "-0330", " UTC", " CET", " +0200", " -03", " -03:30", " GMT"}
	for i := range 12_000 {
		at := time.Unix(g.Int64N(4e9), g.Int64N(1e9)).UTC()
		layout, behind := stampLayouts[i%len(stampLayouts)], ""
		zone := zones[g.IntN(len(zones))]
		switch layout[0] {
		case 'J':
		case 'M':
			layout = strings.Replace(layout, "05", []string{"05", "05.000000"}[g.IntN(2)], 1)
			if strings.HasPrefix(zone, " ") {
				behind = zone
			}
		default:
			layout += []string{"", ".000", ",000000", ".000000000"}[g.IntN(4)]
			behind = zone
		}
		text := at.Format(layout) + behind
		if i%97 == 0 {
			text = strconv.FormatInt(1e9+g.Int64N(8e9), 10) + ".123"
		} else if i%89 == 0 {
			text = fmt.Sprintf("@4%015x%08x", at.Unix()+10, at.Nanosecond())
		}
		if g.IntN(3) == 0 {
			text = "[" + text + "]"
		}
		text += []string{" ", ":", ": ", "  "}[g.IntN(4)]
		message := text + "x"
		if n := sameStamp(t, message); n != len(text) {
			t.Fatalf("of %q, %d bytes are the stamp", message, n)
		}
		if n := sameStamp(t, text); n != len(text) {
			t.Fatalf("of %q, %d bytes are the stamp", text, n)
		}
		for range 4 {
			b := []byte(message)
			b[g.IntN(len(b))] = "0123456789 :-/[]TZ+.,JF"[g.IntN(23)]
			sameStamp(t, string(b))
		}
		sameStamp(t, message[:g.IntN(len(message))])
	}
}

// TestStampEnds says where stamps end that are followed by what looks like a zone, and what is none.
func TestStampEnds(t *testing.T) {
	for message, rest := range map[string]string{
		"2026-11-22 10:00:00 SMTP call from":              "SMTP call from",
		"2026-11-22 10:00:00 CET x":                       "x",
		"2026-11-22 10:00:00.5 CEST: x":                   "x",
		"2026-11-22 10:00:00 CETX x":                      "CETX x",
		"2026-11-22 10:00:00 +123 x":                      "+123 x",
		"2026-11-22 10:00:00 - x":                         "- x",
		"2026-11-22  9:00:00 1 [Note] x":                  "1 [Note] x",
		"2026-11-22T10:00:00+01:00 x":                     "x",
		"[22-Nov-2026 10:00:00 Europe/Berlin] x":          "x",
		"[22-Nov-2026 10:00:00 America/Port-au-Prince] x": "x",
		"[Nov 22 10:00:00] x":                             "x",
		"Mon Jun 8 10:00:00 2026 x":                       "x",
		"Jun 8 10:00:00 x":                                "x",
		"Nov  2 10:00:00 x":                               "x",
		"1795300000.123    456 x":                         "456 x",
		"2026-11-22 10:00:00: x":                          "x",
		"[20261122-10:00:00] [INFO ] x":                   "[INFO ] x",
		"@400000006b0253aa07635e29 x: y":                  "x: y",
		// not stamps
		"1795300000 x": "", "20261122-1000:00 x": "", "20261322-10:00:00 x": "", "2026-11-22 10:00:00x": "", "2026-11-22 24:00:00 x": "", "2026-02-29 10:00:00 x": "", "2026-11-22 10:00:60 x": "",
		"[2026-11-22 10:00:00 x": "", "2026-11-22 10:00:00] x": "", "2026/11/22T10:00:00 x": "", "22/Nov/2026 10:00:00 x": "", "22-Nov/2026 10:00:00 x": "",
		"Mai 22 10:00:00 x": "", "Foo Nov 22 10:00:00 2026 x": "", "Mon Jun x 10:00:00 2026 x": "", "Jun 0 10:00:00 x": "", "Sun Nov 22 10:00:00Z 2026 x": "", "Nov 22 10:00:00Z x": "", "2026-11-22 10:00:00": "",
		"Sun Feb 29 10:00:00 2026 x": "", "[]]]]]]]]]]]]]]]]]]": "", "2026-11-22 10:00:00. x": "",
		"@400000006b0253aa3b9aca00 x": "", "@400000006b0253aa07635e2 x": "", "@400000006b0253aa07635E29 x": "", "@300000006b0253aa07635e29 x": "",
		"@400000006b0253aa07635e29x": "", "@4fffffffffffffff07635e29 x": "",
	} {
		n := sameStamp(t, message)
		if n > 0 && message[n:] != rest || n == 0 && rest != "" {
			t.Errorf("of %q, %q is the message", message, message[n:])
		}
	}
	var s Stamp
	s.Take([]byte("Feb 29 10:00:00 x"))
	if got, ok := s.Time(time.UTC, time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)); !ok || got.Year() != 2024 {
		t.Errorf("the last 29th of February was %v", got)
	}
	s.Take([]byte("Nov 23 09:00:00 x"))
	if got, _ := s.Time(time.UTC, time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)); got.Year() != 2026 {
		t.Errorf("tomorrow is %v", got)
	}
	if got, ok := (Stamp{}).Time(time.UTC, time.Now()); ok {
		t.Errorf("no stamp is %v", got)
	}
}

// TestStampOf says which values are times.
func TestStampOf(t *testing.T) {
	for value, want := range map[string]string{
		"2026-11-22T10:00:00Z": "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.5+01:00": "2026-11-22T09:00:00.5Z", "1795300000": "2026-11-21T22:26:40Z",
		"1795300000.25": "2026-11-21T22:26:40.25Z", "1795300000250": "2026-11-21T22:26:40.25Z", "1795300000250001": "2026-11-21T22:26:40.250001Z",
		"1795300000250001002": "2026-11-21T22:26:40.250001002Z", "22/Nov/2026:10:00:00 +0100": "2026-11-22T09:00:00Z", "2026-11-22 10:00:00": "2026-11-22T10:00:00Z",
		"": "", "x": "", "12": "", "17953000001": "", "1795300000250.5": "", "1795300000.1234567891": "", "1795300000.": "", "1.7953e9": "", "-1795300000": "",
		"9999999999999999999": "", "2026-11-22T10:00:00Zx": "", "2026-11-22": "", "99999999999999999999": "", "2026-11-22T10": "",
	} {
		got := ""
		if at, ok := Parse([]byte(value)).Time(time.UTC, time.Now()); ok {
			got = at.UTC().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q is %q, not %q", value, got, want)
		}
	}
}

func FuzzStamp(f *testing.F) {
	for _, layout := range stampLayouts {
		f.Add(layout + " x")
		f.Add("[" + layout + ".123 UTC] x")
	}
	f.Add("1795300000.123 x")
	f.Add("@400000006b0253aa07635e29 x")
	f.Add("2026-11-22 10:00:00 -03: x")
	f.Fuzz(func(t *testing.T, message string) {
		sameStamp(t, message)
		Parse([]byte(message))
	})
}
