package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/wire"
	"tattled/store"
)

// BenchmarkToCommit is the whole way of a line but for the socket: header, detection, judgement, and a commit that is on disk.
func BenchmarkToCommit(b *testing.B) {
	for name, attacks := range map[string]int{"attacks-1-in-100": 1, "attacks-1-in-10": 10, "attacks-1-in-2": 50} {
		b.Run(name, func(b *testing.B) {
			backend, _, err := openBackend(store.Config{Path: filepath.Join(b.TempDir(), "state.db")})
			if err != nil {
				b.Fatal(err)
			}
			s, err := store.New(backend, store.Config{}.Options())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			gate := policy.NewGate(policy.GateConfig{})
			committer := store.NewCommitter(s, newPolicy(shippedParts().config(), gate, nil, nil), store.CommitterOptions{})
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- committer.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
			}()
			tally := newTally()
			p := newPipeline(liveOf(newEngine(shippedParts().config(), testRules(b), gate, tally)), tally, nil, committer)
			parser := wire.NewParser(nil)
			batch := &receiver.Batch{Source: "bench", Received: time.Now()}
			stamp := batch.Received.UTC().Format(time.Stamp)
			lines, n := 0, 0
			var raw []byte
			for b.Loop() {
				batch.Records = batch.Records[:0]
				for i := range 100 {
					if i < attacks {
						n++
						raw = fmt.Appendf(raw[:0], "<38>%s web1 sshd[%d]: Failed password for invalid user admin from 45.%d.%d.%d port 40022 ssh2", stamp, n%4_000_000, 100+n/62_500%100, n/250%250, 1+n%250)
					} else {
						raw = fmt.Appendf(raw[:0], "<30>%s web1 systemd[1]: Started session-%d.scope - Session of User deploy.", stamp, i)
					}
					r := receiver.Record{Trust: event.TrustReport}
					parser.Parse(append([]byte(nil), raw...), batch.Received, &r)
					batch.Records = append(batch.Records, r)
				}
				if err := p.Handle(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				lines += len(batch.Records)
			}
			if err := committer.Do(b.Context(), func(*store.WriteTx) error { return nil }); err != nil { // all is durable behind it
				b.Fatal(err)
			}
			b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
