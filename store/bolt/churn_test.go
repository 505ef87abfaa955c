package bolt

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/store"
)

// churnFile tells a test binary that it is the child that takes attacks: the path, a space, addresses, a space, rounds.
const churnFile = "TATTLED_TEST_CHURN_FILE"

// TestChurn lets addresses attack again and again, as fast as it goes: many, and few. Neither the file nor the memory grows
// with the number of events; without a bound in bytes, what is newer than in Addresses takes more than that of the few.
func TestChurn(t *testing.T) {
	for _, c := range []struct {
		name              string
		addresses, rounds int
		file, memory      int // MiB
	}{
		{"many", often(8_000, 50_000), often(12, 24), often(56, 160), 64},
		{"few", 1_000, often(100, 1200), often(48, 64), 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			what := strings.Join([]string{filepath.Join(t.TempDir(), "state.db"), strconv.Itoa(c.addresses), strconv.Itoa(c.rounds)}, " ")
			said := child(t, churnFile, what, nil)
			figure(t, 20, "%d events of %d addresses, the default policies: %d MiB of memory at most, file %d MiB (%d at half of them), %d of it used, groups of %d events at most, in %d ms",
				said["events"], c.addresses, said["memory"], said["file"], said["half"], said["used"], said["group"], said["took"])
			if raced {
				c.memory *= 2
			}
			if said["memory"] > c.memory || said["file"] > c.file || said["kept"] != c.addresses || said["group"] <= 1024 {
				t.Errorf("%v, want a file of %d MiB at most and %d MiB of memory", said, c.file, c.memory)
			}
		})
	}
}

// churn is the child.
func churn(what string) error {
	debug.SetGCPercent(50) // as the daemon runs
	words := strings.Fields(what)
	addresses, _ := strconv.Atoi(words[1])
	rounds, _ := strconv.Atoi(words[2])
	b, _, err := Open(words[0], Options{MaxSize: 1 << 30})
	if err != nil {
		return err
	}
	b.db.NoSync = true // how much is written counts, not how fast the disk is
	s, err := store.New(b, store.Config{}.Options())
	if err != nil {
		return err
	}
	group := 0
	to := []policy.Destination{{Name: "abuseipdb", Action: policy.Report, Window: 24 * time.Hour}}
	judge := policy.New(policy.Defaults(), policy.NewGate(policy.GateConfig{}), to, nil)
	c := store.NewCommitter(s, judge, store.CommitterOptions{OnCommit: func(events []event.Event, _ []event.Report) { group = max(group, len(events)) }})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	began, n := time.Now(), addresses*rounds
	memory, half := 0, 0
	var batch []event.Event
	for i := range n {
		e := failure(0, time.Now())
		k := i % addresses
		e.Addr = netip.AddrFrom4([4]byte{45, byte(k >> 16), byte(k >> 8), byte(k)})
		if batch = append(batch, e); len(batch) < 60 && i < n-1 {
			continue
		}
		if err := c.Submit(ctx, batch, "log", receiver.Cursor(strconv.Itoa(i))); err != nil {
			cancel()
			return errors.Join(err, <-ran)
		}
		if batch = batch[:0]; i/6000 > (i-60)/6000 {
			now, _ := memoryNow()
			memory = max(memory, now)
		}
		if i <= n/2 {
			half = int(b.Usage().Size >> 20)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		return err
	}
	u := s.Stats()
	for word, n := range map[string]int{
		"events": n, "memory": memory, "file": int(u.Usage.Size >> 20), "used": int(u.Usage.Used >> 20), "half": half, "kept": int(u.Addresses),
		"group": group, "took": int(time.Since(began).Milliseconds()),
	} {
		say(word, n)
	}
	return s.Close()
}
