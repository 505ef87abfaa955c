package wire

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tattled/event"
	"tattled/receiver"
)

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[31mred\x1b[0m":                     "red",
		"a \x1b[1;38;5;208mb\x1b[m c":            "a b c",
		"\x1b]0;title\x07x":                      "x",
		"\x1b]8;;https://a\x1b\\x\x1b]8;;\x1b\\": "x",
		"c\x1b[0m:\x1b[1m676\x1b[0m f":           "c:676 f",
		"NOTICE\x1b[0m[12]":                      "NOTICE[12]",
		"'\x1b[1mroot\x1b[0m'":                   "'root'",
		"\x1b(B\x1b[mx":                          "x",
		"x\x1b[2K":                               "x",
		// What would grow together stays apart.
		"203.0.113\x1b[0m.5":        "203.0.113 .5",
		"203.0.113.\x1b[0m5":        "203.0.113. 5",
		"pass\x1b[0m\x1b[1mword":    "pass word",
		"2001:db8\x1b[0m::5":        "2001:db8 ::5",
		"2001:db8:\x1b[0m:5":        "2001:db8: :5",
		"2001:db8::\x1b[0m5":        "2001:db8:: 5",
		"::ffff:\x1b[0m203.0.113.5": "::ffff: 203.0.113.5",
		"h\xc3\x1b[0m\xa9":          "h\xc3 \xa9",
	} {
		if got, ok := unescape(nil, []byte(in)); !ok || string(got) != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"\x1b", "x\x1b", "\x1b[", "\x1b[12", "\x1b[1 m", "\x1b[1\x00m", "\x1b[1Z", "\x1bX", "\x1b]0;no end", "\x1b]0;a b\x07",
		"\x1b[" + strings.Repeat("1", 40) + "m", "\x1b]" + strings.Repeat("1", 400) + "\x07", "\x1b[31mx\x1b[", "\x1b\x1b[0m",
	} {
		if got, ok := unescape(nil, []byte(in)); ok {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// Whatever sequences are where: each word and each address of the result stood so in the text.
func TestUnescapeJoinsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.OneOf(
			rapid.SampledFrom([]string{"\x1b[0m", "\x1b[1;31m", "\x1b]0;x\x07", "\x1b(B", "\x1b[K"}),
			rapid.StringMatching(`[0-9a-f:. ]{0,6}`), rapid.StringMatching(`[ -~]{0,6}`),
		), 0, 12).Draw(t, "parts")
		text := strings.Join(parts, "")
		got, ok := unescape(nil, []byte(text))
		if !ok {
			return
		}
		if len(got) > len(text) {
			t.Fatalf("%q has grown to %q", text, got)
		}
		for _, word := range bytes.FieldsFunc(got, func(r rune) bool { return r < 0x80 && !inWord(byte(r)) }) {
			if !strings.Contains(text, string(word)) {
				t.Fatalf("%q: %q has grown together in %q", text, word, got)
			}
		}
		for _, address := range bytes.FieldsFunc(got, func(r rune) bool { return r >= 0x80 || !inAddress(byte(r)) }) {
			if bytes.Count(address, []byte(":")) > 1 && !strings.Contains(text, string(address)) {
				t.Fatalf("%q: %q has grown together in %q", text, address, got)
			}
		}
	})
}

// No layer makes a record more than it was: trust does not rise, host and stream stay, and the program becomes another one only behind a
// tag that says so.
func TestPeelTakesNoMore(t *testing.T) {
	tags := []string{"sshd", "nginx", "kernel", "app", "httpd/a", "sshd(pam_unix)", "docker/x", "auth.info", "aabbccddeeff,U7-8", "x.y", ""}
	fronts := []string{"sshd[1]: ", "Nov 22 05:40:00 ", "Nov 22 05:40:00 web9 sshd[2]: ", "[1] ", "2026-11-22T05:40:00Z stdout F ", `{"log":"x\n","stream":"stdout"}`,
		"web-1 | ", "\x1b[0m", "#033[0m", "^[[1m", "(pam_unix) ", "<38>", bom, "2026-11-22 05:40:00 ", "[sshd] ", "x", " "}
	var p Peeler
	p.In(time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		r := receiver.Record{
			Program: []byte(rapid.SampledFrom(tags).Draw(t, "tag")), Host: []byte("web1"), Time: received,
			Message: []byte(strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(fronts), rapid.StringMatching(`[ -~\x00-\x1f\xff]{0,20}`)), 0, 6).Draw(t, "message"), "")),
			Trust:   rapid.SampledFrom([]event.Trust{event.TrustCount, event.TrustReport}).Draw(t, "trust"),
			Framing: rapid.SampledFrom([]receiver.Framing{receiver.Whole, receiver.FileLine, receiver.OutLine}).Draw(t, "framing"),
		}
		for range MaxLayers {
			known := rapid.Bool().Draw(t, "known") && len(r.Program) > 0
			before := r
			before.Message = bytes.Clone(r.Message)
			p.Layered(&r, known)
			layer := p.Peel(&r, known, received)
			if r.Trust > before.Trust || len(r.Message) > len(before.Message)+64 {
				t.Fatalf("%q by %q: trust %v, %d bytes", before.Message, before.Program, r.Trust, len(r.Message))
			}
			same := string(r.Program) == string(before.Program)
			if layer == NoLayer {
				if !same || string(r.Message) != string(before.Message) {
					t.Fatalf("%q by %q: nothing was taken off, yet it is %q by %q", before.Message, before.Program, r.Message, r.Program)
				}
				return
			}
			if !same && (layer == Header || layer == Colours || layer == Module && before.Program[len(before.Program)-1] != ')') {
				t.Fatalf("%q by %q is by %q now", before.Message, before.Program, r.Program)
			}
			if !same && before.Framing != receiver.Whole && len(before.Program) > 0 {
				t.Fatalf("%q of a log of %q is by %q now", before.Message, before.Program, r.Program)
			}
		}
	})
}

func FuzzPeel(f *testing.F) {
	for _, front := range []string{"sshd[1]: ", "[1] Nov 22 05:40:00 ", `{"log":"\u00e9\ud83d\ude00\n","stream":"stdout","time":""}`, "web | ", "\x1b[0m", "#033[0m", "(pam_unix) ", "2026-11-22T05:40:00Z stdout P "} {
		f.Add("sshd", []byte(front+said), uint8(1))
		f.Add("docker/x", []byte(front+said), uint8(0))
		f.Add("", []byte(front+said), uint8(2))
	}
	var p Peeler
	p.In(time.UTC)
	f.Fuzz(func(t *testing.T, program string, message []byte, framing uint8) {
		for _, known := range []bool{false, true} {
			r := receiver.Record{Program: []byte(program), Message: bytes.Clone(message), Framing: receiver.Framing(framing % 3), Trust: event.TrustCount}
			for range MaxLayers {
				if p.Layered(&r, known && len(r.Program) > 0); p.Peel(&r, known && len(r.Program) > 0, received) == NoLayer {
					break
				}
			}
			if r.Trust != event.TrustCount || len(r.Message) > len(message)+64*MaxLayers+len(program)*MaxLayers {
				t.Fatalf("%q by %q: %+v", message, program, r)
			}
		}
	})
}
