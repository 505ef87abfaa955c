package bolt

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// childFile tells a test binary that it is the child which is to be killed, and what file to write to.
const childFile = "TATTLED_TEST_CRASH_FILE"

// noSync lets the child write without a sync.
const noSync = "TATTLED_TEST_NO_SYNC"

func TestMain(m *testing.M) {
	if os.Getenv(faultyDisk) != "" {
		say("error", handOver(3))
		os.Exit(1)
	}
	for variable, child := range map[string]func(string) error{fullDisk: liveOnAFullDisk, floodFile: drown, churnFile: churn} {
		if path := os.Getenv(variable); path != "" {
			if err := child(path); err != nil {
				say("error", err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	if path := os.Getenv(childFile); path != "" {
		if err := writeForEver(path); err != nil {
			say("error", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver is the child: a source that goes on where its cursor says, and a courier that says of each item when it has
// it and when it is settled. Someone kills it.
func writeForEver(path string) error {
	b, done, err := Open(path, Options{})
	if err != nil || done.Damage != "" || done.Records > 0 {
		return fmt.Errorf("open: %w, %+v", err, done)
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		return err
	}
	b.db.NoSync = os.Getenv(noSync) != ""
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{
		Linger: 2 * time.Millisecond, MaxGroup: 50,
		OnCommit: func(events []event.Event, _ []event.Report) { say("durable", events[len(events)-1].Seq) },
	})
	failed := make(chan error, 3)
	go func() { failed <- c.Run(context.Background()) }()
	go func() { failed <- deliver(c.Outbox("abuseipdb")) }()
	go func() { failed <- submit(c, s.Position("log")) }()
	say("ready")
	return <-failed
}

// say tells the parent. It is one write, so that a kill cuts it off only where the pipe does.
func say(words ...any) { fmt.Fprintln(os.Stdout, words...) }

func submit(c *store.Committer, cursor receiver.Cursor) error {
	n, _ := strconv.Atoi(string(cursor))
	for batch := 1; ; batch = batch%7 + 1 {
		var events []event.Event
		for range batch {
			events = append(events, storetest.Event(n))
			n++
		}
		if err := c.Submit(context.Background(), events, "log", receiver.Cursor(strconv.Itoa(n))); err != nil {
			return err
		}
	}
}

func deliver(o *store.Outbox) error {
	ctx := context.Background()
	for {
		item, ok, _, err := o.Claim(ctx, storetest.Event(1<<20).Time) // after all that is ever judged
		if err != nil {
			return err
		}
		if !ok {
			<-o.Changed()
			continue
		}
		say("claimed", item.ID)
		if err := o.Settle(ctx, item.ID, store.Settlement{State: store.Delivered}); err != nil {
			return err
		}
		say("settled", item.ID)
	}
}

// TestKill kills a process that writes, again and again, with SIGKILL. After each kill cursor and effects agree exactly,
// nothing that was said to be settled is not, nothing is claimed twice, and no report is missing.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "state.db")
	claimed, settled := map[string]int{}, map[string]bool{}
	events := uint64(0)
	for kill := range 32 {
		wait := time.Duration(random.IntN(120)) * time.Millisecond
		output := runAndKill(t, path, wait)
		for line := range strings.Lines(output) {
			switch verb, id, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); {
			case verb == "error":
				t.Fatalf("kill %d: %s", kill, line)
			case len(id) != 32: // cut off by the kill
			case verb == "claimed":
				claimed[id]++
			case verb == "settled":
				settled[id] = true
			}
		}
		events = afterKill(t, path, events, claimed, settled, kill%4 == 3)
	}
	t.Logf("%d events, %d items claimed, %d settled", events, len(claimed), len(settled))
	if events < 100 || len(settled) == 0 {
		t.Errorf("the child got nowhere")
	}
}

func runAndKill(t *testing.T, path string, wait time.Duration) string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childFile+"="+path)
	child.Stderr = os.Stderr
	var out strings.Builder
	pipe, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	var kill *time.Timer
	for {
		n, err := pipe.Read(buf)
		out.Write(buf[:n])
		if kill == nil && strings.HasPrefix(out.String(), "ready\n") {
			kill = time.AfterFunc(wait, func() { _ = child.Process.Kill() }) // it may have ended by itself
		}
		if err != nil {
			break
		}
	}
	_ = child.Wait() // it was killed
	return out.String()
}

// afterKill looks at what the killed process left and returns how many events there are. With closely, every record is
// compared with what an undisturbed run leads to.
func afterKill(t *testing.T, path string, before uint64, claimed map[string]int, settled map[string]bool, closely bool) uint64 {
	t.Helper()
	s, err := store.New(mustOpen(t, path), storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n, _ := strconv.ParseUint(string(s.Position("log")), 10, 64)
	stats := s.Stats()
	if n < before || stats.LastSeq != n || stats.Events != n {
		t.Fatalf("the cursor says %d, there are %d events up to %d, and there were %d before", n, stats.Events, stats.LastSeq, before)
	}
	items, err := s.Items(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]store.State{}
	for _, i := range items {
		if _, twice := states[i.ID]; twice {
			t.Errorf("%s is there twice", i.ID)
		}
		states[i.ID] = i.State
	}
	for id, times := range claimed {
		if times != 1 || states[id] != store.Claimed && states[id] != store.Delivered {
			t.Errorf("%s was claimed %d times and is %s", id, times, states[id])
		}
	}
	for id := range settled {
		if states[id] != store.Delivered {
			t.Errorf("%s was settled and is %s", id, states[id])
		}
	}
	if !closely {
		return n
	}
	want := undisturbed(t, int(n))
	defer want.Close()
	compare(t, s, want, int(n))
	wanted, err := want.Items(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if len(wanted) != len(items) {
		t.Fatalf("%d items in the outbox, want %d", len(items), len(wanted))
	}
	for _, i := range wanted {
		if states[i.ID] == 0 {
			t.Errorf("%s is missing", i.ID)
		}
	}
	return n
}

// undisturbed is what n events lead to if nobody is killed.
func undisturbed(t *testing.T, n int) *store.Store {
	t.Helper()
	s, err := store.New(mem.New(0), storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += 50_000 { // a group takes no more than 60,000
		c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{MaxGroup: 1 << 20, Linger: time.Hour})
		var events []event.Event
		for i := from; i < min(from+50_000, n); i++ {
			events = append(events, storetest.Event(i))
		}
		if err := c.Submit(t.Context(), events, "log", nil); err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ended); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// compare compares the events and the addresses.
func compare(t *testing.T, got, want *store.Store, n int) {
	t.Helper()
	a, err := got.Events(0, n+1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.Addr]bool{}
	for i, e := range a {
		if e.Seq != uint64(i+1) || e.Line != storetest.Event(i).Line {
			t.Fatalf("event %d has Seq %d and %q", i, e.Seq, e.Line)
		}
		seen[e.Addr] = true
	}
	for addr := range seen {
		x, _, err := got.Address(addr)
		if err != nil {
			t.Fatal(err)
		}
		if y, _, _ := want.Address(addr); x.Total() != y.Total() || len(x.Windows) != len(y.Windows) {
			t.Fatalf("%s: %+v\nwant %+v", addr, x, y)
		}
	}
}
