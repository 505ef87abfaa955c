package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gopkg.in/mcuadros/go-syslog.v2/format"
	"pgregory.net/rapid"

	"tattled/receiver"
)

// A word of printable ASCII, which neither dialect gives a meaning to.
func word(t *rapid.T, label string) string {
	return rapid.StringMatching(`[A-Za-z][A-Za-z0-9_./-]{0,30}`).Draw(t, label)
}

func text(t *rapid.T) string {
	return strings.TrimSpace(rapid.StringMatching(`[!-Z\\^-~][ -~]{0,60}`).Draw(t, "text"))
}

func moment(t *rapid.T) time.Time {
	return time.Unix(rapid.Int64Range(received.Unix()-300*day, received.Unix()).Draw(t, "time"), 0).UTC()
}

func dump(t *rapid.T, p format.LogParser) format.LogParts {
	if err := p.Parse(); err != nil {
		t.Fatalf("the oracle refuses the line: %v", err)
	}
	return p.Dump()
}

// On well-formed RFC 3164 an independent parser, go-syslog's, finds the same. It takes this year for every year.
func TestOracleRFC3164(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at, pid := moment(t), ""
		if rapid.Bool().Draw(t, "with pid") {
			pid = fmt.Sprint(rapid.IntRange(1, 4194304).Draw(t, "pid"))
		}
		tag := word(t, "tag")
		if pid != "" {
			tag += "[" + pid + "]"
		}
		line := fmt.Sprintf("<%d>%s %s %s: %s", rapid.IntRange(0, 191).Draw(t, "pri"), at.Format(time.Stamp), word(t, "host"), tag, text(t))
		theirs := dump(t, (&format.RFC3164{}).GetParser([]byte(line)))
		var r receiver.Record
		if form := NewParser(nil).Parse([]byte(line), received, &r); form != RFC3164 {
			t.Fatalf("%q is %v", line, form)
		}
		if !r.Time.Equal(at) || theirs["timestamp"].(time.Time).Format(time.Stamp) != r.Time.Format(time.Stamp) {
			t.Fatalf("%q: %v, the oracle has %v", line, r.Time, theirs["timestamp"])
		}
		if string(r.Host) != theirs["hostname"] || string(r.Program) != theirs["tag"] || string(r.Message) != theirs["content"] || string(r.PID) != pid {
			t.Fatalf("%q: %q %q %q, the oracle has %v", line, r.Host, r.Program, r.Message, theirs)
		}
	})
}

// On well-formed RFC 5424 it finds the same too, structured data included.
func TestOracleRFC5424(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := moment(t).Add(time.Duration(rapid.IntRange(0, 999999).Draw(t, "us")) * time.Microsecond)
		data := rapid.SampledFrom([]string{"-", `[a@1 b="c"]`, `[a@1 b="c d" e=""][f]`, `[timeQuality tzKnown="1" isSynced="0"]`}).Draw(t, "data")
		offset := rapid.SampledFrom([]int{0, 3600, -12600}).Draw(t, "offset")
		line := fmt.Sprintf("<%d>1 %s %s %s %d %s %s %s", rapid.IntRange(0, 191).Draw(t, "pri"),
			at.In(time.FixedZone("", offset)).Format("2006-01-02T15:04:05.000000Z07:00"), word(t, "host"), word(t, "app"),
			rapid.IntRange(1, 4194304).Draw(t, "pid"), word(t, "id"), data, text(t))
		theirs := dump(t, (&format.RFC5424{}).GetParser([]byte(line)))
		var r receiver.Record
		if form := NewParser(nil).Parse([]byte(line), received, &r); form != RFC5424 {
			t.Fatalf("%q is %v", line, form)
		}
		if apart := theirs["timestamp"].(time.Time).Sub(r.Time).Abs(); !r.Time.Equal(at) || apart > time.Microsecond { // it reads fractions as floats
			t.Fatalf("%q: %v, the oracle has %v", line, r.Time, theirs["timestamp"])
		}
		if string(r.Host) != theirs["hostname"] || string(r.Program) != theirs["app_name"] || string(r.PID) != theirs["proc_id"] || string(r.Message) != theirs["message"] {
			t.Fatalf("%q: %q %q %q %q, the oracle has %v", line, r.Host, r.Program, r.PID, r.Message, theirs)
		}
	})
}
