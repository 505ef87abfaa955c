package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// frames runs stream through a Framer, shown in pieces of the sizes that next gives, through a window of Need bytes, and
// returns what came out as text: "frame:abc".
func frames(t fataler, limit int, stream []byte, next func() int) []string {
	t.Helper()
	f := Framer{Max: limit}
	names := [...]string{Frame: "frame", Cut: "cut", Bad: "bad"}
	var out []string
	start, shown := 0, 0
	for {
		eof := shown == len(stream)
		buf := stream[start:shown]
		frame, n, state := f.Next(buf, eof)
		if n < 0 || n > len(buf) || !within(buf, frame) || len(frame) > limit && state != Bad {
			t.Fatalf("Next(%q) = %q, %d, %d", buf, frame, n, state)
		}
		start += n
		if state == Lost {
			if again, m, state := f.Next(stream[start:], true); again != nil || m != 0 || state != Lost {
				t.Fatalf("Next after Lost gives %q, %d, %d", again, m, state)
			}
			return append(out, "lost")
		}
		if state != More && state != Held {
			if n == 0 {
				t.Fatalf("Next(%q) gave a frame and no progress", buf)
			}
			out = append(out, names[state]+":"+string(frame))
			continue
		}
		if eof {
			if start != len(stream) {
				t.Fatalf("%q is left at the end", stream[start:])
			}
			return out
		}
		if n == 0 && len(buf) >= f.Need() {
			t.Fatalf("Next wants more than Need() = %d bytes: %q", f.Need(), buf)
		}
		shown = min(len(stream), shown+max(1, next()), start+f.Need())
	}
}

func whole(t testing.TB, max int, stream string) []string {
	return frames(t, max, []byte(stream), func() int { return len(stream) })
}

func TestFramer(t *testing.T) {
	long := strings.Repeat("x", 30)
	for name, c := range map[string]struct {
		stream string
		want   []string
	}{
		"nothing":                   {"", nil},
		"lines":                     {"<1>a\n<1>b\r\n<1>c", []string{"frame:<1>a", "frame:<1>b", "frame:<1>c"}},
		"empty lines":               {"\n\r\na\n", []string{"frame:", "frame:", "frame:a"}},
		"counted":                   {"4 <1>a5 <1>bc", []string{"frame:<1>a", "frame:<1>bc"}},
		"counted, with LF inside":   {"6 <1>a\nb4 <1>c", []string{"frame:<1>a\nb", "frame:<1>c"}},
		"counted, LF at the end":    {"5 <1>a\n5 <1>b\n", []string{"frame:<1>a", "frame:<1>b"}},
		"counted, then a line":      {"5 <38>x<38>MIXED\n4 <1>a", []string{"frame:<38>x", "lost"}},
		"counted, then half a line": {"5 <38>x<38>MIX", []string{"frame:<38>x", "lost"}},
		"counted, LF not counted":   {"4 <1>a\n4 <1>b\r\n4 <1>c", []string{"frame:<1>a", "frame:", "frame:<1>b", "frame:", "frame:<1>c"}},
		"counted, CR":               {"4 <1>a\r4 <1>b", []string{"frame:<1>a", "lost"}},
		"counted in characters":     {"5 <1>\u00e9x4 <1>a4 <1>b", []string{"lost"}},
		"count too short":           {"3 <38>SHORT\n", []string{"frame:<38", "lost"}},
		"count too long":            {"5 <1>a4 <1>b", []string{"frame:<1>a4", "lost"}},
		"digits after counted":      {"4 <1>a12", []string{"frame:<1>a", "lost"}},
		"count ends early":          {"9 <1>a", []string{"bad:<1>a"}},
		"count 0":                   {"0 <38>x\n", []string{"frame:0 <38>x"}},
		"leading zero":              {"05 <38>x\n", []string{"frame:05 <38>x"}},
		"negative":                  {"-5 <38>x\n-1 x\n", []string{"frame:-5 <38>x", "frame:-1 x"}},
		"plus":                      {"+5 <38>x\n", []string{"frame:+5 <38>x"}},
		"seven digits":              {"1000000 <38>x\n", []string{"frame:1000000 <38>x"}},
		"2^63-1":                    {"9223372036854775807 x\n", []string{"cut:9223372036854775"}},
		"2^64+1":                    {"18446744073709551617 <38>x", []string{"cut:1844674407370955"}},
		"ten thousand digits":       {strings.Repeat("1", 10000) + " <38>x\n<1>a\n", []string{"cut:1111111111111111", "frame:<1>a"}},
		"digits and no more":        {"12", []string{"frame:12"}},
		"count and no more":         {"12 ", []string{"frame:12 "}},
		"a number begins a line":    {"22 files gone\n3 <a\n", []string{"frame:22 files gone", "frame:<a"}},
		"long line":                 {"<1>" + long + "\n<1>a\n", []string{"cut:<1>xxxxxxxxxxxxx", "frame:<1>a"}},
		"line of exactly the limit": {long[:16] + "\na\n", []string{"frame:" + long[:16], "frame:a"}},
		"line of one more":          {long[:17] + "\na\n", []string{"cut:" + long[:16], "frame:a"}},
		"long line without end":     {long, []string{"cut:" + long[:16]}},
		"long counted":              {"20 <1>" + long[:17] + "4 <1>a", []string{"cut:<1>xxxxxxxxxxxxx", "frame:<1>a"}},
		"long counted ends early":   {"999999 <1>" + long, []string{"cut:<1>xxxxxxxxxxxxx"}},
		"long count behind a line":  {"<1>a\n999999 <1>b\n<1>c\n", []string{"frame:<1>a", "frame:999999 <1>b", "frame:<1>c"}},
		"NUL ends":                  {"<1>a\x00<1>b\x00", []string{"frame:<1>a", "frame:<1>b"}},
		"NUL ends, then LF":         {"<1>a\x00<1>b\n<1>c\x00", []string{"frame:<1>a", "frame:<1>b", "frame:<1>c"}},
		"LF NUL":                    {"<1>a\n\x00<1>b\n\x00", []string{"frame:<1>a", "frame:<1>b"}},
		"NUL is text behind an LF":  {"<1>a\n<1>b\x00<1>c\n", []string{"frame:<1>a", "frame:<1>b\x00<1>c"}},
		"NUL behind counted":        {"4 <1>a\x004 <1>b\x00", []string{"frame:<1>a", "frame:<1>b"}},
	} {
		if got := whole(t, 16, c.stream); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q\n got %q\nwant %q", name, c.stream, got, c.want)
		}
	}
}

// TestBlankLinesMakeNoStreamOfLines says that a stream of counted frames stays one where its sender puts a line end after
// each: what a wrong count leaves of a message is a stranger's text, and must not become a line.
func TestBlankLinesMakeNoStreamOfLines(t *testing.T) {
	for name, stream := range map[string]string{
		"LF after each frame":      "5 <38>x\n5 <38>y<38>MADE UP\n",
		"CR LF after each frame":   "5 <38>x\r\n5 <38>y<38>MADE UP\n",
		"several":                  "5 <38>x\n\n\r\n5 <38>y<38>MADE UP\n",
		"an empty line before all": "\n5 <38>x5 <38>y<38>MADE UP\n",
		"white space before all":   " \r\n5 <38>x\n5 <38>y<38>MADE UP\n",
	} {
		got := whole(t, 16, stream)
		got = slices.DeleteFunc(got, func(frame string) bool { return frame == "frame:" || frame == "frame: " })
		if want := []string{"frame:<38>x", "frame:<38>y", "lost"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q\n got %q\nwant %q", name, stream, got, want)
		}
	}
	// A frame that is longer than Max is skipped by its count, and no line begins in the middle of it.
	got := whole(t, 16, "5 <38>x\n40 <38>0123456789012\n<38>MADE UP9012345678955 <38>y\n")
	if slices.Contains(got, "frame:<38>MADE UP90123") || !slices.Contains(got, "cut:<38>012345678901") {
		t.Errorf("a long frame: %q", got)
	}
}

// streams draws hostile streams: pieces that framing turns on, put together at random.
func streams() *rapid.Generator[[]byte] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"\n", "\r\n", "\x00", "<", "<1>", " ", "4 <1>a", "20 <1>", "7 ", "999999 <", "0", "-1 x", "x",
			"\u00e9", "5 <1>\u00e9", "5 <1>\u00e9x\n", "9 <1>\u00e9\u4e16\u754c.\n", "\xc3", "\U0001f600", "e\u0301"}),
		rapid.Map(rapid.IntRange(0, 40), func(n int) string { return strings.Repeat("y", n) }),
		rapid.Map(rapid.IntRange(0, 99), func(n int) string { return fmt.Sprint(n, " <") }),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 30), func(all []string) []byte { return []byte(strings.Join(all, "")) })
}

// However a stream is cut into reads, the frames are the same.
func TestFramesDoNotDependOnReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := streams().Draw(t, "stream")
		max := rapid.IntRange(1, 24).Draw(t, "max")
		checkSplits(t, max, stream, rapid.Uint64().Draw(t, "seed"))
	})
}

func checkSplits(t fataler, max int, stream []byte, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	all := frames(t, max, stream, func() int { return len(stream) })
	for _, next := range []func() int{func() int { return 1 }, func() int { return random.IntN(2 * max) }} {
		if got := frames(t, max, stream, next); !slices.Equal(got, all) {
			t.Fatalf("max %d, %q\nin pieces %q\nat once   %q", max, stream, got, all)
		}
	}
}

// A line of a gigabyte costs one cut frame and no memory.
func TestGiantLine(t *testing.T) {
	f := Framer{Max: 8 << 10}
	block := bytes.Repeat([]byte("A"), 1<<20)
	cut, held := 0, 0
	for range 1024 {
		for rest := block; len(rest) > 0; {
			_, n, s := f.Next(rest, false)
			if s == Cut {
				cut++
			}
			if n == 0 {
				held++
				break
			}
			rest = rest[n:]
		}
	}
	if cut != 1 || held != 0 {
		t.Errorf("%d frames, %d blocks held", cut, held)
	}
	f.Next([]byte("A\n"), false)
	if frame, _, s := f.Next([]byte("<1>a\n"), false); s != Frame || string(frame) != "<1>a" {
		t.Errorf("behind the giant: %q, %d", frame, s)
	}
}

func TestFramerAllocatesNothing(t *testing.T) {
	stream := []byte("<1>a\n4 <1>b<1>c\r\n" + strings.Repeat("x", 100) + "\n")
	f := Framer{Max: 16}
	if n := testing.AllocsPerRun(100, func() {
		for rest := stream; len(rest) > 0; {
			_, n, _ := f.Next(rest, false)
			rest = rest[n:]
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFramer(f *testing.F) {
	for _, seed := range []string{
		"<1>a\n<1>b\r\n", "4 <1>a5 <1>bc", "-1 x", "-5 x", "9223372036854775807 x", "18446744073709551617 <38>x", "0 <38>x",
		"05 <38>x", "999999999 <38>x", "3 <38>SHORT\n", "<1>a\x00<1>b\x00", "12", "20 <1>xxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		"5 <1>\u00e9x\n6 <1>\u4e16xx\r\n4 <1>a", "6 <1>\u00e9\u00e9\n4 <1>a", "5 <1>\u00e94 <1>a5 <1>\u00e9x\n", "5 <1>\u00e912",
	} {
		f.Add([]byte(seed), uint8(16), uint64(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, max uint8, seed uint64) {
		checkSplits(t, int(max)+1, stream, seed)
	})
}

func BenchmarkFramer(b *testing.B) {
	line := benchmarks["rfc3164"]
	for name, one := range map[string]string{"lines": line + "\n", "counted": fmt.Sprintf("%d %s", len(line), line)} {
		b.Run(name, func(b *testing.B) {
			stream := []byte(strings.Repeat(one, 500))
			f := Framer{Max: 8 << 10}
			rest := stream
			b.SetBytes(int64(len(one)))
			b.ReportAllocs()
			for b.Loop() {
				_, n, _ := f.Next(rest, false)
				if rest = rest[n:]; len(rest) == 0 {
					rest = stream
				}
			}
		})
	}
}
