package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// A stream whose counts are of characters is read as long as each frame that this changes ends with a line end, and where its
// count says.
func TestCharacters(t *testing.T) {
	name := "<1>jos\u00e9 \u4e16\u754c!" // 11 characters, 16 bytes
	for what, c := range map[string]struct {
		stream string
		want   []string
	}{
		"LF, not counted":        {"11 " + name + "\n4 <1>b\n11 " + name + "\n", []string{"frame:" + name, "frame:<1>b", "frame:" + name}},
		"LF, counted":            {"12 " + name + "\n12 " + name + "\n5 <1>b\n", []string{"frame:" + name, "frame:" + name, "frame:<1>b"}},
		"CR LF":                  {"11 " + name + "\r\n11 " + name + "\r\n", []string{"frame:" + name, "frame:" + name}},
		"after plain ASCII":      {"4 <1>b\n11 " + name + "\n4 <1>c", []string{"frame:<1>b", "frame:", "frame:" + name, "lost"}},
		"bytes":                  {"16 " + name + "16 " + name + "4 <1>b", []string{"frame:" + name, "frame:" + name, "frame:<1>b"}},
		"bytes, LF":              {"16 " + name + "\n16 " + name, []string{"frame:" + name, "frame:", "frame:" + name}},
		"bytes, the last":        {"16 " + name, []string{"frame:" + name}},
		"bytes, then characters": {"16 " + name + "4 <1>b11 " + name + "\n", []string{"frame:" + name, "frame:<1>b", "frame:<1>jos\u00e9 \xe4\xb8", "lost"}},
		"characters, then bytes": {"11 " + name + "\n16 " + name + "4 <1>b\n", []string{"frame:" + name, "lost"}},
		"no LF":                  {"11 " + name + "4 <1>b", []string{"lost"}},
		"one too many":           {"12 " + name + "4 <1>b\n", []string{"lost"}},
		"LF too early":           {"11 <1>jos\u00e9 \u4e16\n\u754c!\n4 <1>b", []string{"lost"}},
		"a priority in the rest": {"18 <1>\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9 x <38>x\n4 <1>b", []string{"lost"}},
		"a count in the rest":    {"18 <1>\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9 xx 12 <x\n4 <1>b", []string{"lost"}},
		"two of UTF-16":          {"6 <1>\U0001f600x\n4 <1>b", []string{"lost"}},
		"two code points":        {"6 <1>e\u0301x\n4 <1>b", []string{"lost"}},
		"not UTF-8":              {"7 <1>\u00e9\xe9xx\n4 <1>b", []string{"lost"}},
		"longer than Max":        {"30 <1>" + strings.Repeat("\u4e16", 27) + "\n4 <1>b", []string{"lost"}},
	} {
		if got := whole(t, 64, c.stream); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q\n got %q\nwant %q", what, c.stream, got, c.want)
		}
	}
}

// A frame that may have more to come is held until there is more, or until the caller says that none comes.
func TestHeld(t *testing.T) {
	f := Framer{Max: 64}
	held := []byte("6 <1>x\u00e9")
	for _, rest := range []string{"", "1", "12", "12 ", "\r"} {
		if frame, n, s := f.Next(append(slices.Clone(held), rest...), false); s != Held || n != 0 || frame != nil {
			t.Fatalf("with %q after it: %q, %d, %v", rest, frame, n, s)
		}
	}
	f.Release()
	if frame, n, s := f.Next(held, false); s != Frame || n != len(held) || string(frame) != "<1>x\u00e9" {
		t.Fatalf("released: %q, %d, %v", frame, n, s)
	}
	if _, _, s := f.Next([]byte("x\n12 <1>"), false); s != Lost {
		t.Errorf("more of it after all: %v", s)
	}
}

// counters are ways to get a message's length, right and wrong.
var counters = map[string]func(string) int{
	"bytes":          func(s string) int { return len(s) },
	"characters":     utf8.RuneCountInString,
	"UTF-16":         func(s string) int { return len(utf16.Encode([]rune(s))) },
	"UTF-16 bytes":   func(s string) int { return 2 * len(utf16.Encode([]rune(s))) },
	"what is seen":   func(s string) int { return utf8.RuneCountInString(s) - marks(s) },
	"columns":        func(s string) int { return utf8.RuneCountInString(s) + wide(s) },
	"one more":       func(s string) int { return len(s) + 1 },
	"three more":     func(s string) int { return len(s) + 3 },
	"nine more":      func(s string) int { return len(s) + 9 },
	"characters + 1": func(s string) int { return utf8.RuneCountInString(s) + 1 },
	"characters + 4": func(s string) int { return utf8.RuneCountInString(s) + 4 },
}

func marks(s string) (n int) {
	for _, r := range s {
		if unicode.Is(unicode.M, r) {
			n++
		}
	}
	return n
}

func wide(s string) (n int) {
	for _, r := range s {
		if r >= 0x1100 {
			n++
		}
	}
	return n
}

// stranger draws a message of which a stranger has chosen the text: heads, line ends and characters where he likes.
func stranger(t *rapid.T) string {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"\n", "\r\n", "<1>", " ", "4 <1>a", "\n4 <1>a", "\n9 <1>", "5 <", "x", "\u00e9", "\u00e9\u00e9\u00e9", "\u4e16", "\U0001f600", "e\u0301", "\xff", "end"}),
		rapid.Map(rapid.IntRange(0, 12), func(n int) string { return strings.Repeat("y", n) }),
		rapid.Map(rapid.IntRange(1, 12), func(n int) string { return strings.Repeat("\u00e9", n) }),
		rapid.Map(rapid.IntRange(1, 40), func(n int) string { return fmt.Sprintf("\n%d <38>", n) }),
	)
	return "<1>" + strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "message"), "")
}

// TestCharactersGiveNoFrame says that whoever writes text into messages gains no frame by it from what is understood of wrong
// counts: of any sender, each frame is one of its messages, or was one as well when all counts were taken to be of bytes. The
// exception are streams whose counts, taken so, go on after a frame that nobody sent: there, a stranger needs no more.
func TestCharactersGiveNoFrame(t *testing.T) {
	understood := 0
	rapid.Check(t, func(t *rapid.T) {
		how := rapid.SampledFrom(slices.Sorted(maps.Keys(counters))).Draw(t, "count")
		end := rapid.SampledFrom([]string{"", "\n", "\r\n", " ", "\r"}).Draw(t, "end")
		lines := rapid.Bool().Draw(t, "a line between")
		sent := []string{"<1>jos\u00e9"}
		if rapid.Bool().Draw(t, "a stranger is first") {
			sent = nil
		}
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			sent = append(sent, stranger(t))
		}
		stream := ""
		for i, message := range sent {
			stream += fmt.Sprint(counters[how](message), " ", message, end)
			if lines && i == 0 {
				stream += "<1>a line\n"
			}
		}
		before, now := all(Bytes, stream), all(AnyUnit, stream)
		made := func(frame string) bool {
			return frame != "" && !slices.ContainsFunc(sent, func(message string) bool { return frame == string(Trim([]byte(message))) })
		}
		if how == "bytes" && !lines && end != " " && end != "\r" && (!slices.Equal(before, now) || slices.ContainsFunc(now, made)) {
			t.Fatalf("right counts, %q: %q, %q in bytes", stream, now, before)
		}
		if len(before) > 1 && slices.ContainsFunc(before[:len(before)-1], made) {
			return
		}
		for _, frame := range now {
			if slices.Contains(before, frame) {
				continue
			}
			understood++
			if made(frame) {
				t.Fatalf("%s, %q: a frame %q that nobody sent\nin bytes: %q", how, stream, frame, before)
			}
		}
	})
	if understood == 0 {
		t.Error("no count of characters was understood")
	}
}

// all returns the frames of a stream that counts u, until it ends or is lost.
func all(u Unit, stream string) (frames []string) {
	f := Framer{Max: 256}
	f.SetUnit(u)
	for {
		frame, n, s := f.Next([]byte(stream), true)
		if s == More || s == Lost || s == Held {
			return frames
		}
		frames, stream = append(frames, string(frame)), stream[n:]
	}
}
