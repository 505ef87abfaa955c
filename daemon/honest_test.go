package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
)

// The sequences of docs/honest.md: what honest peers and attackers log, line by line, through the shipped rules and policies
// in virtual time.

// said is one line of a log.
type said struct {
	after   time.Duration // since the sequence began
	program string
	pid     int
	message string
}

// sequence is what some peers do, and what becomes of it.
type sequence struct {
	topic, what string
	lines       []said
	policy      string // that reports some of it; "" for none
	why         string
}

// judging is a submitter that judges as the committer does, without a store.
type judging struct {
	policy    *policy.Policy
	states    map[netip.Addr]*policy.State
	judgement policy.Judgement
	events    int
	last      *event.Event // of the last batch; nil where it had none
	report    func(r event.Report)
}

func (j *judging) Submit(_ context.Context, events []event.Event, _ string, _ receiver.Cursor) error {
	j.last = nil
	for i := range events {
		e := &events[i]
		kept := *e
		j.last = &kept
		key := policy.Key(e.Addr)
		if j.states[key] == nil {
			j.states[key] = &policy.State{}
		}
		j.events++
		j.judgement.Reset()
		j.policy.Judge(j.states[key], e, &j.judgement)
		j.policy.Count(&j.judgement)
		for _, r := range j.judgement.Reports {
			if r.Destination == "abuseipdb" {
				j.report(r)
			}
		}
	}
	return nil
}

// honest runs lines through the pipeline and the shipped policies.
type honest struct {
	*judging
	pipeline *pipeline
	begin    time.Time
}

func newHonest(t testing.TB, report func(event.Report)) *honest {
	j := &judging{states: map[netip.Addr]*policy.State{}, report: report}
	p := testPipeline(t, "198.51.100.0/24", j)
	j.policy = policy.New(policy.Defaults(), p.engine.Load().gate, []policy.Destination{
		{Name: "abuseipdb", Action: policy.Report, Window: 24 * time.Hour}, {Name: "mail", Action: policy.Alert, Window: 24 * time.Hour},
	}, nil)
	return &honest{j, p, time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
}

func (h *honest) feed(t testing.TB, one said) {
	at := h.begin.Add(one.after)
	r := record(one.program, one.message)
	r.Time, r.PID = at, fmt.Append(nil, one.pid)
	b := &receiver.Batch{Source: "file:/var/log/x.log", Received: at, Records: []receiver.Record{r}}
	if err := h.pipeline.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// peer is the address of the one that a sequence is about: a public one.
const peer = "45.148.10.7"

// repeat is n times the lines of what, a pause apart. In them {A} is the peer, {i} is the number of the time, and {i%N} its rest. A
// line begins with the name of its program; "+6s " before it is when it comes, after the first of its time.
func repeat(n int, pause time.Duration, what ...string) []said {
	var all [][]said
	for _, line := range what {
		var one []said
		for i := range n {
			line, at := line, time.Duration(i)*pause
			if after, rest, found := strings.Cut(line, " "); found && strings.HasPrefix(line, "+") {
				d, err := time.ParseDuration(after[1:])
				if err != nil {
					panic(err)
				}
				at, line = at+d, rest
			}
			program, message, _ := strings.Cut(line, " ")
			message = strings.ReplaceAll(message, "{A}", peer)
			message = strings.ReplaceAll(message, "{i}", fmt.Sprint(i))
			for _, m := range []int{2, 3, 4, 5, 6, 9, 12, 20, 30, 40} {
				message = strings.ReplaceAll(message, fmt.Sprintf("{i%%%d}", m), fmt.Sprint(i%m))
			}
			one = append(one, said{at, program, 1000 + i, message})
		}
		all = append(all, one)
	}
	return merged(all...)
}

// shifted is lines that come later, and are others' processes.
func shifted(by time.Duration, lines []said) []said {
	for i := range lines {
		lines[i].after += by
		lines[i].pid += 100_000
	}
	return lines
}

// merged is lines of several sequences in the order of time.
func merged(all ...[]said) []said {
	var out []said
	for {
		best := -1
		for i, lines := range all {
			if len(lines) > 0 && (best < 0 || lines[0].after < all[best][0].after) {
				best = i
			}
		}
		if best < 0 {
			return out
		}
		out, all[best] = append(out, all[best][0]), all[best][1:]
	}
}

// from is lines with another address in the peer's place.
func from(addr string, lines []said) []said {
	for i := range lines {
		lines[i].message = strings.ReplaceAll(lines[i].message, peer, addr)
	}
	return lines
}

// many is the same lines from n addresses at once.
func many(n int, lines func() []said) []said {
	var all [][]said
	for i := range n {
		all = append(all, from(fmt.Sprintf("45.148.11.%d", i+1), lines()))
	}
	return merged(all...)
}

// TestHonest runs every sequence: nobody is reported, or who is by the policy that docs/honest.md names.
func TestHonest(t *testing.T) {
	for _, s := range honestSequences() {
		got := map[string]int{}
		n := 0
		h := newHonest(t, func(r event.Report) {
			if got[r.Policy] == 0 {
				got[r.Policy] = n
			}
		})
		for i, line := range s.lines {
			n = i + 1
			h.feed(t, line)
		}
		if (h.events == 0) != (s.why == unmatched) {
			t.Errorf("%s: %d lines of it were matched", s.what, h.events)
		}
		switch {
		case s.policy == "" && len(got) > 0:
			t.Errorf("%s: reported, at line, by %v", s.what, got)
		case s.policy != "" && got[s.policy] == 0:
			t.Errorf("%s: reported by %v, not by %s", s.what, got, s.policy)
		}
	}
}

// TestHonestIsDocumented compares docs/honest.md with the sequences.
func TestHonestIsDocumented(t *testing.T) {
	documented(t, "../docs/honest.md", "<!-- The tables are written by: go test ./daemon -run Honest -update -->\n", honestTables())
}

// documented compares what a page has after the line mark, which says how it is written, with tables, or writes them there.
func documented(t *testing.T, page, mark, tables string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), mark)
	if !found {
		t.Fatalf("%s has no line %q", page, mark)
	}
	want := head + mark + tables
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s does not say what the test runs: %s", page, mark)
	}
}

func honestTables() string {
	var b strings.Builder
	topic := ""
	for _, s := range honestSequences() {
		if s.topic != topic {
			topic = s.topic
			fmt.Fprintf(&b, "\n## %s\n\n| what | lines | in | what happens | why |\n|---|---|---|---|---|\n", topic)
		}
		outcome := "nothing"
		if s.policy != "" {
			outcome = "reported by " + s.policy
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s |\n", s.what, len(s.lines), s.lines[len(s.lines)-1].after.Round(time.Second), outcome, s.why)
	}
	return b.String()
}

// An outage is known to the page by the name of its service.
func TestOutageIsAProblem(t *testing.T) {
	h := newHonest(t, func(r event.Report) { t.Errorf("%v is reported by %s", r.Addr, r.Policy) })
	for _, s := range honestSequences() {
		if s.topic != topicOutage || !strings.Contains(s.what, "twelve") {
			continue
		}
		for _, line := range s.lines {
			h.feed(t, line)
		}
		last := h.begin.Add(s.lines[len(s.lines)-1].after)
		problems := awayProblems(h.judgement.Outages.Now(), last)
		if len(problems) != 1 || !strings.HasPrefix(problems[0].What, "sshd: ") || !strings.HasPrefix(problems[0].Cause, "12 addresses") {
			t.Errorf("%s: problems %q", s.what, problems)
		}
		if later := awayProblems(h.judgement.Outages.Now(), last.Add(awayShown+time.Second)); len(later) != 0 {
			t.Errorf("later: %q", later)
		}
		return
	}
	t.Fatal("there is no such sequence")
}

// What began is told once.
func TestOutageIsLoggedOnce(t *testing.T) {
	var a away
	first := policy.Outage{Service: "sshd", Since: time.Unix(1, 0)}
	again := policy.Outage{Service: "sshd", Since: time.Unix(2, 0)}
	for i, c := range []struct {
		now  []policy.Outage
		want int
	}{{nil, 0}, {[]policy.Outage{first}, 1}, {[]policy.Outage{first}, 0}, {nil, 0}, {[]policy.Outage{again}, 1}} {
		if got := len(a.began(c.now)); got != c.want {
			t.Errorf("step %d: %d, want %d", i, got, c.want)
		}
	}
}
