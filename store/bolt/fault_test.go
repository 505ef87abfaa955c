package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"tattled/store"
	"tattled/store/storetest"
)

// fullVariable asks for the long form of the tests that have one: TATTLED_FULL=1.
const fullVariable = "TATTLED_FULL"

// often is how often something is done: short of it in an ordinary run, full of it in the long form.
func often(short, full int) int {
	if os.Getenv(fullVariable) == "1" {
		return full
	}
	return short
}

// figure prints a figure of the scorecard.
func figure(t *testing.T, row int, format string, args ...any) {
	t.Helper()
	t.Logf("figure: row %d: %s", row, fmt.Sprintf(format, args...))
}

// promised is what a child said before it died.
type promised struct {
	durable          uint64
	claimed, settled map[string]bool
}

func newPromised() *promised {
	return &promised{claimed: map[string]bool{}, settled: map[string]bool{}}
}

// hear takes in what a child said.
func (p *promised) hear(output string) {
	for line := range strings.Lines(output) {
		verb, rest, _ := strings.Cut(line, " ")
		rest, whole := strings.CutSuffix(rest, "\n")
		switch {
		case !whole:
		case verb == "durable":
			n, _ := strconv.ParseUint(rest, 10, 64)
			p.durable = max(p.durable, n)
		case verb == "claimed":
			p.claimed[rest] = true
		case verb == "settled":
			p.settled[rest] = true
		}
	}
}

// broken opens what a dead child left and says which promise does not hold; nil if all do. Events and position agree;
// nothing that was said to be durable is lost; each request had an intent on the disk; nothing counts as reported that was
// not.
func (p *promised) broken(path string) error {
	b, done, err := Open(path, Options{Now: now})
	if err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	if done.Damage != "" || done.Records > 0 {
		b.Close()
		return fmt.Errorf("it is damaged: %+v", done)
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		return err
	}
	defer s.Close()
	n, _ := strconv.ParseUint(string(s.Position("log")), 10, 64)
	stats := s.Stats()
	if n < p.durable || stats.LastSeq != n || stats.Events != n {
		return fmt.Errorf("the position is %d, there are %d events up to %d, and %d were durable", n, stats.Events, stats.LastSeq, p.durable)
	}
	items, err := s.Items(1 << 20)
	if err != nil {
		return err
	}
	states := map[string]store.State{}
	for _, i := range items {
		states[i.ID] = i.State
		if i.State == store.Delivered && !p.claimed[i.ID] {
			return fmt.Errorf("%s counts as reported, and nobody ever sent it", i.ID)
		}
	}
	for id := range p.claimed {
		if states[id] != store.Claimed && states[id] != store.Delivered {
			return fmt.Errorf("%s was sent and is %s", id, states[id])
		}
	}
	for id := range p.settled {
		if states[id] != store.Delivered {
			return fmt.Errorf("%s was settled and is %s", id, states[id])
		}
	}
	p.durable = n
	return nil
}

// cutsInARow is how many power cuts one file lives through.
const cutsInARow = 10

// TestPowerCut cuts the power before a random write or sync of a process that writes, again and again: a random part of what
// was not synced is lost, torn in sectors and in any order.
func TestPowerCut(t *testing.T) {
	var d *disk
	var path string
	p, durable, pending, lost := newPromised(), uint64(0), 0, 0
	rounds := often(60, 1000)
	for seed := range rounds {
		if seed%cutsInARow == 0 {
			durable += p.durable
			d, path = newDisk(t)
			p = newPromised()
		}
		random := rand.New(rand.NewPCG(uint64(seed), 2))
		d.die = 1 + random.IntN(250)
		p.hear(d.run(t, path))
		n, m := d.cut(t, random)
		pending, lost = pending+n, lost+m
		if err := p.broken(path); err != nil {
			t.Fatalf("seed %d, before call %d: %v", seed, d.die, err)
		}
	}
	durable += p.durable
	figure(t, 2, "%d power cuts, %d events durable, 0 lost, 0 files that do not open; %d writes were pending, %d of their sectors lost", rounds, durable, pending, lost)
	if durable < uint64(rounds) || lost < rounds {
		t.Errorf("%d events were durable and %d sectors were lost: the child got nowhere", durable, lost)
	}
}

// The rig sees what it is to see: without syncs, a power cut loses or damages something soon.
func TestPowerCutIsSeen(t *testing.T) {
	for seed := range 50 {
		d, path := newDisk(t)
		random := rand.New(rand.NewPCG(uint64(seed), 3))
		d.die = 100 + random.IntN(150)
		p := newPromised()
		p.hear(d.run(t, path, noSync+"=1"))
		d.cut(t, random)
		if err := p.broken(path); err != nil {
			figure(t, 2, "the control without syncs fails in round %d", seed+1)
			t.Logf("as it should: %v", err)
			return
		}
	}
	t.Error("50 power cuts without a sync broke nothing")
}

// TestIOErrors lets the n-th write or the n-th sync fail with EIO. The process ends, what it could not sync is lost in a
// power cut, and the file opens again with everything that was promised.
func TestIOErrors(t *testing.T) {
	step := often(9, 1)
	runs := 0
	for _, what := range []string{"write", "sync"} {
		for n := 1; n <= 200; n += step {
			d, path := newDisk(t)
			d.die = 6000 // if it goes on nevertheless
			if what == "write" {
				d.writes.at = n
			} else {
				d.syncs.at = n
			}
			p := newPromised()
			said := d.run(t, path)
			p.hear(said)
			if d.writes.n < d.writes.at || d.syncs.n < d.syncs.at {
				t.Fatalf("%s %d never came", what, n)
			}
			if !strings.Contains(said, "error ") || d.calls >= d.die {
				t.Errorf("%s %d failed, and the process went on: %.200q", what, n, said)
			}
			d.cut(t, rand.New(rand.NewPCG(uint64(n), 13)))
			if err := p.broken(path); err != nil {
				t.Errorf("%s %d failed: %v", what, n, err)
			}
			runs++
			clean := errors.Join(d.close(), os.RemoveAll(d.dir))
			if clean != nil {
				t.Fatal(clean)
			}
		}
	}
	figure(t, 13, "EIO at %d different writes and syncs out of the first 200 of each: 0 false reports, all files open again", runs)
}
