package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
	"tattled/store/bolt"
)

var (
	crashKills = flag.Int("crash.kills", 0, "how many times the crash campaign kills tattled; 0: 1000 with TATTLED_FULL=1, else 15")
	crashSeed  = flag.Uint64("crash.seed", 0, "seed of the crash campaign, 0 for a new one")
)

// TestCrashCampaign kills tattled by SIGKILL at random moments, start-up included, while it follows a file that grows and
// is rotated and a journal that grows. In the end every line written was counted once, and no address was reported twice.
func TestCrashCampaign(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if *crashKills == 0 {
		*crashKills = 15
		if full() {
			*crashKills = 1000
		}
	}
	t.Logf("-crash.kills=%d -crash.seed=%d", *crashKills, seed)
	r := rand.New(rand.NewPCG(seed, 2))
	d, url := newDouble(t)
	dir := t.TempDir()
	journal := newJournal(t)
	config := write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources:
  journal: {directory: %s, helper: %s, since: 1h}
  files: [{path: %s/auth.log, start: beginning}]
report: {abuseipdb: {url: %q, rate: 100}}
store: {path: %s/state.db, events: 1000000}
web: {listen: "127.0.0.1:0"}
`, journal.dir, buildHelper(t), dir, url, dir))

	w := campaign{t: t, r: r, journal: journal, file: dir + "/auth.log"}
	for range *crashKills {
		w.write(20 + r.IntN(200))
		p := startReporting(t, "run", "--config", config)
		if r.IntN(4) > 0 { // else it is killed as it starts
			p.ready()
			if r.IntN(5) == 0 {
				w.rotate(p)
			}
			w.write(20 + r.IntN(200))
		}
		select {
		case <-time.After(time.Duration(r.ExpFloat64() * float64(60*time.Millisecond))):
		case <-p.gone:
			t.Fatalf("tattled ended by itself: %v\n%s", p.err, p.text())
		}
		w.write(r.IntN(50))
		p.kill()
	}
	p := startReporting(t, "run", "--config", config).ready()
	w.write(100)
	eventually(t, time.Minute, "all events to be stored", func() bool {
		return p.metric("tattled_store_events") >= float64(w.written)
	})
	p.settled()
	p.stop()
	w.judge(dir + "/state.db")

	addresses := reported(d)
	if twice := len(addresses) - len(slices.Compact(slices.Clone(addresses))); twice > 0 {
		t.Errorf("the double accepted %d addresses twice", twice)
	}
	over := w.over(5)
	if got := slices.Compact(addresses); !slices.Equal(got, over) {
		t.Errorf("%d addresses were reported, %d are over the threshold", len(got), len(over))
	}
	t.Logf("figure: row 1: %d times SIGKILL at any moment, start-up included: of %d lines and %d attackers %d not reported, %d accepted twice",
		*crashKills, w.written, len(over), len(over)-len(slices.Compact(slices.Clone(addresses))), len(addresses)-len(slices.Compact(slices.Clone(addresses))))
}

// campaign writes numbered lines: even numbers to the file, odd ones to the journal.
type campaign struct {
	t       *testing.T
	r       *rand.Rand
	journal *journalWriter
	file    string
	written int
	counts  map[string]int
}

func (w *campaign) write(n int) {
	w.t.Helper()
	if w.counts == nil {
		w.counts = map[string]int{}
	}
	for range n {
		addr := attacker(w.r.IntN(1500))
		line := sshLine(addr, w.written)
		if w.written%2 == 0 {
			appendLines(w.t, w.file, []string{line}, 10_000+w.written)
		} else {
			w.journal.sshd(10_000+w.written, time.Now(), line)
		}
		w.counts[addr]++
		w.written++
	}
	w.journal.flush()
}

// rotate renames the file once tattled has read all of it: two rotations while it is dead would be logrotate's loss.
func (w *campaign) rotate(p *process) {
	w.t.Helper()
	eventually(w.t, time.Minute, "tattled to catch up", func() bool { return p.metric("tattled_store_events") >= float64(w.written) })
	if err := os.Rename(w.file, w.file+".1"); err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
}

// over returns the addresses with at least threshold lines, sorted.
func (w *campaign) over(threshold int) []string {
	var all []string
	for addr, n := range w.counts {
		if n >= threshold {
			all = append(all, addr)
		}
	}
	slices.Sort(all)
	return all
}

// judge reads the state file as the daemon left it: every line is there, once.
func (w *campaign) judge(path string) {
	w.t.Helper()
	seen := make([]int, w.written)
	for _, e := range readEvents(w.t, path) {
		var n int
		if _, err := fmt.Sscanf(e.User, "u%d", &n); err != nil || n >= w.written {
			w.t.Fatalf("an event that nobody wrote: %q", e.Line)
		}
		seen[n]++
	}
	w.seenOnce(seen)
}

// seenOnce judges how often each line that was written is there.
func (w *campaign) seenOnce(seen []int) {
	w.t.Helper()
	lost, twice := 0, 0
	for _, times := range seen {
		switch {
		case times == 0:
			lost++
		case times > 1:
			twice++
		}
	}
	if lost > 0 || twice > 0 {
		w.t.Errorf("of %d lines of file and journal %d were lost and %d counted twice", len(seen), lost, twice)
	}
}

func readEvents(t *testing.T, path string) []event.Event {
	t.Helper()
	backend, _, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(backend, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	var all []event.Event
	for after := uint64(0); ; after = all[len(all)-1].Seq {
		page, err := s.Events(after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); len(page) < 1000 {
			return all
		}
	}
}
