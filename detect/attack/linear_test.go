package attack

import (
	"strings"
	"testing"
	"time"

	"tattled/detect"
	"tattled/detect/pattern"
)

// TestLinear says that a line twice as long takes no more than about twice as long, for lines made of what the patterns
// look for.
func TestLinear(t *testing.T) {
	r := loadFile(t, oddRules(0, len(oddPatterns)), true)
	all := []hostileLine{
		{"kernel", "", "IN=", ""}, {"kernel", "", "IN=eth0 OUT=", ""}, {"kernel", "DROP ", "DROP ", " IN=eth0 OUT= SRC=1.2.3.4 DST="},
		{"kernel", "DROP IN=eth0 OUT= ", "MAC= ", "SRC=1.2.3.4"}, {"kernel", "DROP IN=eth0 OUT= SRC=1.2.3.4 DST=1.1.1.1 ", "PROTO ", ""},
		{"kernel", "DROP IN=eth0 OUT= SRC=1.2.3.4 DST=1.1.1.1 PROTO=TCP SPT=1 DPT=2 ", "SYN ", ""}, {"sshd", "message repeated ", "1", " times: [ ]"},
	}
	const dated, end = ` [22/Nov/2026:10:00:00 +0000] "GET /`, ` HTTP/1.1" 404 5 "-" "`
	for _, l := range [][3]string{
		{"203.0.113.5 - x", " 198.51.100.66 - ", dated + ".env" + end}, {"203.0.113.5 - ", `\"`, dated + ".env" + end}, {"203.0.113.5 - -" + dated, `\\\"`, end},
		{"203.0.113.5 - -" + dated, "%2f/.env/..//", end}, {"203.0.113.5 - -" + dated + "?", "+%27union+select", end}, {"203.0.113.5 - -" + dated, " HTTP/", end},
		{"203.0.113.5 - -" + dated + ".env" + end, `\\`, `" "`}, {"203.0.113.5 - -" + dated + ".env" + end + `" "`, "198.51.100.66, ", `"`}, {"203.0.113.5 - -" + dated, "wp-", ""},
	} {
		all = append(all, hostileLine{"nginx", l[0], l[1], l[2]})
	}
	for _, l := range [][3]string{
		{`{"a":`, `[`, `]}`}, {`{"a":[`, `{},`, `1]}`}, {`{"a":"`, `\u0041`, `"}`}, {`{"`, `\u0041`, `":1}`}, {`{"c":"NETWORK",`, `"c":"ACCESS",`, `"a":1}`}, {`{"a":`, `1`, `}`},
	} {
		all = append(all, hostileLine{"mongod", l[0], l[1], l[2]})
	}
	for _, name := range []string{"sshd", "odd"} {
		for _, s := range r.Services() {
			if s.Name != name {
				continue
			}
			for _, rule := range newReference(t, r, s).rules {
				items := rule.Items
				word := func() string { return "aaaa" }
				for cut := range items {
					if items[cut].Field != pattern.Literal || items[cut].Text == "" {
						continue
					}
					front := fill(items[:cut], framed1, word, func() string { return "u" })
					back := fill(items[cut:], framed1, word, func() string { return "u" })
					repeated := []string{items[cut].Text, back, items[cut].Text + "1.2.3.4", "1.2.3.4 " + items[cut].Text[:1], "a"}
					next := hostileLine{s.Programs[0], front, repeated[len(all)%5], []string{back + rule.After, ""}[len(all)/5%2]}
					all = append(all, next)
				}
			}
		}
	}
	for _, l := range all {
		l.check(t, r)
	}
}

// hostileLine is a long line made of something that is repeated.
type hostileLine struct{ program, front, repeated, back string }

func (l *hostileLine) of(size int) []byte {
	return []byte(l.front + strings.Repeat(l.repeated, size/len(l.repeated)) + l.back)
}

// check says that the line takes linear time.
func (l *hostileLine) check(t *testing.T, r *detect.Rules) {
	t.Helper()
	var f detect.Finding
	spend := func(size, times int) time.Duration { // the best of times: other work on the machine only adds
		message, best := l.of(size), time.Hour
		for range times {
			start := time.Now()
			r.Detect([]byte(l.program), message, &f)
			best = min(best, time.Since(start))
		}
		return best
	}
	if spend(64<<10, 3) < 2*time.Millisecond {
		return // 30 ns a byte: far from anything but linear
	}
	var half, whole time.Duration
	for range 20 {
		half, whole = spend(32<<10, 5), spend(64<<10, 5)
		if whole <= half*22/10 {
			break
		}
	}
	if whole > half*22/10 || whole > 64*time.Millisecond {
		t.Errorf("%s: %q + %q... takes %v, and twice of it %v", l.program, l.front, l.repeated, half, whole)
	}
}

// TestPacketLinear says that the parsers of packet filters take hostile lines in linear time, and allocate nothing.
func TestPacketLinear(t *testing.T) {
	r := load(t, detect.Options{})
	for _, l := range []hostileLine{
		{"filterlog", "", ",", ""}, {"filterlog", "5,,,1,em0,match,block,in,4", ",", "1"}, {"filterlog", "", "block,in,4,", ""},
		{"filterlog", "5,,,1,em0,match,block,in,4,0x0,,1,1,0,none,6,tcp,4,", "2", ",1.2.3.4,1,2,3,S,"},
		{"mikrotik", "DROP input: in:x", " out:(", ""}, {"mikrotik", "DROP input: in:x out:(none), ", "proto ", ""},
		{"mikrotik", "DROP input: in:x out:(none), proto TCP (", "SYN,", "), 1.2.3.4:1->1.2.3.4:2, len"},
		{"mikrotik", "DROP input: in:x out:(none), proto TCP (SYN), ", "->", ", "}, {"mikrotik", "DROP input: in:x out:(none), proto UDP, ", ":", "->a, "},
		{"mikrotik", "", ": in:", ""}, {"kernel", "[", "-D", "-1]IN=eth0 OUT= SRC=1.2.3.4 DST=1.1.1.1 PROTO=2 "},
	} {
		l.check(t, r)
		var f detect.Finding
		message := l.of(64 << 10)
		if n := testing.AllocsPerRun(3, func() { r.Detect([]byte(l.program), message, &f) }); n != 0 {
			t.Errorf("%s: %q + %q... allocates %v times", l.program, l.front, l.repeated, n)
		}
	}
}
