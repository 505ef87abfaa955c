package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tattled/report/abuseipdb/double"
	"tattled/setting"
	"tattled/store"
)

var (
	chaosRounds = flag.Int("chaos.rounds", 0, "how many processes the fault campaign starts; 0: 2000 with TATTLED_FULL=1, else 40")
	chaosSeed   = flag.Uint64("chaos.seed", 0, "seed of the fault campaign, 0 for a new one")
	chaosOnly   = flag.Int("chaos.world", -1, "run this world of the fault campaign alone")
)

const (
	// chaosLives is how many rounds a world has: processes one after the other on the same state file, with the same double.
	chaosLives = 40
	// chaosWindow is within which an address is reported once.
	chaosWindow = 24 * time.Hour
	// chaosAgain is within which the double refuses an address that it has.
	chaosAgain = 15 * time.Minute

	chaosWrongSum    = "77777" // in an answer to a bulk file
	chaosTwiceResend = "accepted again with resend, answer lost and 15 minutes over"
	chaosTwiceDrop   = "accepted again with drop, clock set back meanwhile"
)

// TestChaosCampaign has reports go out while everything fails: random faults of the API, used-up quotas, SIGKILL at any moment, clocks
// that are off by days. Each round is a real process with a real state file that speaks over TCP to a double; the double
// restarts as well, from its file. Each world has some addresses that come again, and ends with days in which nothing fails.
// Then the two files are judged: that of tattled, and that of the double.
func TestChaosCampaign(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	rounds := *chaosRounds
	if rounds == 0 {
		rounds = 40
		if os.Getenv("TATTLED_FULL") == "1" {
			rounds = 2000
		}
	}
	t.Logf("-chaos.rounds=%d -chaos.seed=%d", rounds, seed)
	sum, worlds := chaosSum{}, max(2, (rounds+chaosLives-1)/chaosLives)
	var mu sync.Mutex
	t.Run("world", func(t *testing.T) { // returns when all of them have ended
		for n := range worlds {
			if *chaosOnly >= 0 && n != *chaosOnly {
				continue
			}
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel() // they mostly wait
				w := newChaosWorld(t, seed, n)
				w.play(min(chaosLives, (rounds+worlds-1)/worlds))
				t.Logf("uncertain: %s: %s", w.uncertain, w.fingerprint())
				if t.Failed() {
					t.Logf("this world alone: -chaos.rounds=%d -chaos.seed=%d -chaos.world=%d", rounds, seed, n)
				}
				mu.Lock()
				defer mu.Unlock()
				sum.add(w.sum)
			})
		}
	})
	t.Logf("%s", sum)
	t.Logf("figure: row 1: %s", sum.figure())
}

// chaosWorld is a state file, a double, and what happens to them.
type chaosWorld struct {
	t         *testing.T
	r         *rand.Rand
	number    int
	dir       string
	server    *httptest.Server
	uncertain store.Uncertain
	options   double.Options
	sum       chaosSum

	lives     int
	skew      time.Duration
	attackers int
	entries   []chaosEntry // of the log, so far
	read      int64        // bytes of it

	mu       sync.Mutex
	double   *double.Double
	truth    time.Time // what the right clock shows
	process  *os.Process
	asked    int // requests of this life
	killIn   int // kill at this one, 0 for none
	after    bool
	killed   string // by us, and where
	requests sync.WaitGroup
}

func newChaosWorld(t *testing.T, seed uint64, number int) *chaosWorld {
	t.Helper()
	w := &chaosWorld{t: t, r: rand.New(rand.NewPCG(seed, uint64(number))), number: number, dir: t.TempDir(), sum: chaosSum{}}
	w.uncertain = store.Uncertain(number % 2)
	w.truth = time.Date(2001, 2, 3, w.r.IntN(24), w.r.IntN(60), 0, 0, time.UTC)
	w.options = double.Options{Plan: []string{"standard", "premium"}[w.r.IntN(2)], Key: key, Eastern: w.r.IntN(4) == 0, Keep: 1 << 20, Now: w.now}
	w.restartDouble()
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	return w
}

// play plays some rounds, and judges.
func (w *chaosWorld) play(rounds int) {
	w.t.Helper()
	for range rounds {
		if w.round(); w.t.Failed() {
			return
		}
	}
	if w.last(); !w.t.Failed() {
		w.judge()
	}
}

func (w *chaosWorld) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.truth
}

// inOrder reports whether the same seed gives the same world again. In the others there are two requests under way at once, and the kill
// comes at any moment by the real clock.
func (w *chaosWorld) inOrder() bool { return w.number%4 < 2 }

// restartDouble starts a double from what the one before left in its file.
func (w *chaosWorld) restartDouble() {
	w.t.Helper()
	d, err := double.New(w.options)
	if err == nil {
		err = d.Load(w.dir + "/double.json")
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.double = d
	w.mu.Unlock()
}

// ServeHTTP is the network between the process and the double, and where the process may be killed while it waits for an answer.
func (w *chaosWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.requests.Add(1)
	defer w.requests.Done()
	at, err := time.Parse(time.RFC3339Nano, r.Header.Get(chaosClock))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.mu.Lock()
	if at.After(w.truth) {
		w.truth = at
	}
	w.asked++
	kill, after, d := w.asked == w.killIn, w.after, w.double
	w.mu.Unlock()
	switch {
	case kill && !after:
		w.kill("when a request arrived")
		panic(http.ErrAbortHandler)
	case kill:
		d.ServeHTTP(httptest.NewRecorder(), r)
		w.kill("when a request was done and not answered")
		panic(http.ErrAbortHandler)
	}
	rw.Header().Set("Date", at.UTC().Format(http.TimeFormat))
	d.ServeHTTP(rw, r)
}

// kill kills the process by SIGKILL.
func (w *chaosWorld) kill(where string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process != nil && w.killed == "" {
		w.killed = where
		_ = w.process.Kill()
	}
}

// round is the life of one process, and the time to the next.
func (w *chaosWorld) round() {
	w.t.Helper()
	w.moveClock()
	w.setFaults()
	l := w.newLife()
	var timer <-chan time.Time
	switch way := w.r.IntN(10); {
	case way == 0:
		l.Stop = true
	case way == 1: // at its end
	case !w.inOrder(): // at any moment, by the clock
		timer = time.After(time.Duration(w.r.ExpFloat64() * float64(60*time.Millisecond)))
	case way < 7:
		l.KillAt = 1 + w.r.IntN(1+w.r.IntN(50))
	default:
		w.killIn, w.after = 1+w.r.IntN(1+w.r.IntN(6)), w.r.IntN(2) == 0
	}
	w.run(l, timer)
	gap := []time.Duration{0, time.Minute, 20 * time.Minute, 26 * time.Hour}[w.r.IntN(4)]
	w.pass(time.Duration(w.r.Float64() * float64(gap)))
	if w.r.IntN(8) == 0 {
		w.restartDouble()
		w.sum["the double restarted"]++
	}
}

// last are days in which the clock is right and nothing fails.
func (w *chaosWorld) last() {
	w.t.Helper()
	w.double.SetFaults()
	w.skew = 0
	l := w.newLife()
	l.Stop = true
	l.Steps = []lifeStep{{Wait: 4 * 24 * time.Hour}}
	w.run(l, nil)
}

func (w *chaosWorld) pass(d time.Duration) {
	w.mu.Lock()
	w.truth = w.truth.Add(d)
	w.mu.Unlock()
}

// moveClock sets the machine's clock, while it is off.
func (w *chaosWorld) moveClock() {
	was := w.skew
	switch w.r.IntN(6) {
	case 0:
		w.skew = 0
	case 1:
		w.skew += time.Duration(w.r.NormFloat64() * float64(10*time.Minute))
	case 2:
		w.skew = time.Duration(w.r.NormFloat64() * float64(3*24*time.Hour))
	}
	w.skew = w.skew.Truncate(time.Millisecond)
	switch {
	case w.skew > was:
		w.sum["clocks set forward"]++
	case w.skew < was:
		w.sum["clocks set back"]++
	}
}

// setFaults draws how the API misbehaves.
func (w *chaosWorld) setFaults() {
	modes := double.Modes()
	var faults []double.Fault
	for range w.r.IntN(5) {
		f := double.Fault{
			Mode: modes[w.r.IntN(len(modes))], Endpoint: []string{"", "report", "bulk-report", "bulk-report"}[w.r.IntN(4)],
			Skip: w.r.IntN(3), Times: 1 + w.r.IntN(3),
		}
		switch f.Mode {
		case double.Answer: // an answer to a bulk file whose sum is not right
			f.Endpoint, f.Status, f.Body = "bulk-report", 200, `{"data":{"savedReports":`+chaosWrongSum+`,"invalidReports":[]}}`
			f.Header = map[string]string{"Content-Type": "application/json"}
		case double.Delay, double.Hold:
			f.Delay = setting.Duration(time.Minute)
		case double.Slow:
			f.Delay = setting.Duration(100 * time.Microsecond)
		}
		faults = append(faults, f)
	}
	if w.r.IntN(3) == 0 {
		faults = usedUp(faults...)
		w.sum["quotas used up"]++
	}
	w.double.SetFaults(faults...)
	text, _ := json.Marshal(faults)
	w.log("faults", string(text))
}

func (w *chaosWorld) log(what, text string) {
	now := w.now()
	writeChaos(w.dir, chaosEntry{At: now, Clock: now.Add(w.skew), Life: w.lives, What: what, Text: text})
}

// newLife draws what happens in the next life: who attacks when.
func (w *chaosWorld) newLife() *life {
	w.lives++
	l := &life{Number: w.lives, Dir: w.dir, URL: w.server.URL + "/api/v2/", Start: w.now(), Skew: w.skew, Uncertain: w.uncertain, Seed: w.r.Uint64(), InOrder: w.inOrder()}
	longest := []time.Duration{10 * time.Second, 2 * time.Minute, 20 * time.Minute, 12 * time.Hour}[w.r.IntN(4)]
	for range 1 + w.r.IntN(5) {
		step := lifeStep{Wait: time.Duration(w.r.Float64() * float64(longest)).Truncate(time.Millisecond)}
		for range w.r.IntN(12) {
			n := w.attackers
			if w.r.IntN(3) == 0 && n > 0 {
				n = w.r.IntN(n)
			} else {
				w.attackers++
			}
			step.Attacks = append(step.Attacks, n)
		}
		slices.Sort(step.Attacks)
		step.Attacks = slices.Compact(step.Attacks)
		l.Steps = append(l.Steps, step)
	}
	l.Steps = append(l.Steps, lifeStep{Wait: time.Duration(w.r.Float64() * float64(longest)).Truncate(time.Millisecond)})
	return l
}

// run starts a process with a life, and waits for its end.
func (w *chaosWorld) run(l *life, timer <-chan time.Time) {
	w.t.Helper()
	text, err := json.Marshal(l)
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.dir, "life.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(w.t.Context(), os.Args[0], "-test.run=^TestChaosProcess$", "-test.v=false")
	cmd.Env = append(os.Environ(), chaosMark+"="+path)
	if w.inOrder() {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1") // goroutines take turns in an order of their own else
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	w.mu.Lock()
	w.asked, w.killed = 0, ""
	err = cmd.Start()
	w.process = cmd.Process
	w.mu.Unlock()
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in its ProcessState
	}()
	limit := time.After(2 * time.Minute)
	for waiting := true; waiting; {
		select {
		case <-ended:
			waiting = false
		case <-timer:
			w.kill("at a moment by the clock")
		case <-limit:
			_ = cmd.Process.Signal(syscall.SIGQUIT) // the stacks are in its output
		}
	}
	w.ended(l, cmd.ProcessState, out.String())
}

// ended takes in how a process ended.
func (w *chaosWorld) ended(l *life, state *os.ProcessState, out string) {
	w.t.Helper()
	w.requests.Wait() // what was under way may arrive yet
	w.mu.Lock()
	where := w.killed
	w.process, w.killIn = nil, 0
	w.mu.Unlock()
	status, _ := state.Sys().(syscall.WaitStatus)
	killed := status.Signaled() && status.Signal() == syscall.SIGKILL
	if killed && where != "" {
		w.readLog()
		w.log("killed", where)
	}
	w.readLog()
	if !killed && !state.Success() {
		w.t.Errorf("world %d, life %d: %v\n%s", w.number, l.Number, state, out)
	}
	switch last := w.entries[len(w.entries)-1]; {
	case killed:
		w.sum["killed "+last.Text]++
	default:
		w.sum["stopped in order"]++
	}
	w.sum["rounds"]++
	if err := w.double.Save(w.dir + "/double.json"); err != nil {
		w.t.Fatal(err)
	}
}

// readLog reads what was added to the log, and has the true time go on with it.
func (w *chaosWorld) readLog() {
	w.t.Helper()
	text, err := os.ReadFile(w.dir + "/log")
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range bytes.Lines(text[w.read:]) {
		var e chaosEntry
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		w.entries = append(w.entries, e)
		w.pass(max(0, e.At.Sub(w.now())))
	}
	w.read = int64(len(text))
}

// fingerprint sums up what happened, in order. Worlds in which the kill is not by the clock come out the same again with the same seed.
func (w *chaosWorld) fingerprint() string {
	sum := fnv.New64a()
	for _, e := range w.entries {
		if e.What == "no answer" {
			e.Text = "" // it names a port
		}
		fmt.Fprintln(sum, e)
	}
	return fmt.Sprintf("%d entries, %016x", len(w.entries), sum.Sum64())
}

// chaosSum counts what happened.
type chaosSum map[string]int

func (s chaosSum) add(other chaosSum) {
	for what, n := range other {
		s[what] += n
	}
}

// figure says what was held, where nothing failed.
func (s chaosSum) figure() string {
	killed := 0
	for what, n := range s {
		if strings.HasPrefix(what, "killed ") {
			killed += n
		}
	}
	return fmt.Sprintf("%d processes, %d times SIGKILL, %d faults of the API, %d quotas used up, %d jumps of the clock, %d bulk files: of %d reports 0 lost with resend; "+
		"accepted twice with resend, their answer lost and 15 minutes over: %d; with drop, the clock set back meanwhile: %d; else 0",
		s["rounds"], killed, s["faults"], s["quotas used up"], s["clocks set back"]+s["clocks set forward"], s["bulk files"], s["reports"], s[chaosTwiceResend], s[chaosTwiceDrop])
}

func (s chaosSum) String() string {
	var all []string
	for _, what := range slices.Sorted(maps.Keys(s)) {
		all = append(all, fmt.Sprintf("%s: %d", what, s[what]))
	}
	return strings.Join(all, ", ")
}
