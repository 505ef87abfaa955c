package report_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/abuseipdb/double"
	"tattled/setting"
	"tattled/store"
	"tattled/store/mem"
)

// process is what runs between a start and a crash: a committer and a courier on a backend that outlives them.
type process struct {
	store     *store.Store
	committer *store.Committer
	courier   *report.Courier
	// kill ends it without a goodbye: nothing that it does afterwards has an effect.
	kill func()
}

// boot starts a process.
func boot(t *testing.T, b store.Backend, client *abuseipdb.Client, o report.Options) *process {
	t.Helper()
	mortal := &mortalBackend{Backend: b}
	st, err := store.New(mortal, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rules := []policy.Config{{
		Name: "ssh", When: policy.When{Kind: []event.Kind{event.AuthFailure}}, Threshold: 3,
		Within: setting.Duration(10 * time.Minute), Do: []string{"report"},
	}}
	judge := policy.New(rules, policy.NewGate(policy.GateConfig{}),
		[]policy.Destination{{Name: "abuseipdb", Action: policy.Report, Window: 24 * time.Hour}}, nil)
	p := &process{store: st, committer: store.NewCommitter(st, judge, store.CommitterOptions{})}
	o.Note, o.PutNote, o.Logger = st.Note, p.committer.PutNote, options(newBox()).Logger
	p.courier = report.NewCourier(client, p.committer.Outbox("abuseipdb"), o)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = p.committer.Run(ctx) }) // it ends by a kill
	running.Go(func() { _ = p.courier.Run(ctx) })
	p.kill = func() {
		mortal.dead.Store(true)
		cancel()
		running.Wait()
	}
	return p
}

// attack submits three failed logins of an address.
func (p *process) attack(t *testing.T, addr netip.Addr) {
	t.Helper()
	now := time.Now()
	for n := range 3 {
		e := event.Event{
			Time: now, Received: now, Kind: event.AuthFailure, Service: "sshd", Rule: "failed-password", Categories: []int{18, 22},
			Addr: addr, Port: uint16(40000 + n), LocalPort: 22, Proto: event.TCP, Handshake: true, User: fmt.Sprint("user", n),
			Host: "web1", Source: "journal", Trust: event.TrustReport, Line: "Failed password for user from somewhere",
		}
		if err := p.committer.Submit(t.Context(), []event.Event{e}, "", nil); err != nil {
			t.Fatal(err)
		}
	}
}

// Through the real store: an attack is reported within a second; killed between the API's yes and writing it down, the
// next process asks again, is refused, and counts it as delivered; what was reported stays reported for the window.
func TestThroughTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, transport, end := serve(double.Options{Key: key})
		defer end()
		defer transport.CloseIdleConnections()
		client, err := abuseipdb.New(abuseipdb.Config{URL: "http://127.0.0.1/api/v2/"}, setting.NewSecret(key), "tattled/test", transport)
		if err != nil {
			t.Fatal(err)
		}
		b := mem.New(0)
		first, second := netip.MustParseAddr("185.220.101.5"), netip.MustParseAddr("2a0b:f4c2::5")

		p := boot(t, b, client, report.Options{})
		p.attack(t, first)
		sleep(time.Second)
		if reports := far.Reports(); len(reports) != 1 || reports[0].IP != "185.220.101.5" {
			t.Fatalf("%v", reports)
		}
		far.SetFaults(double.Fault{Mode: double.Hold, Delay: setting.Duration(time.Hour), Times: 1})
		p.attack(t, second)
		sleep(time.Second) // the API has it, the answer is on its way
		p.kill()
		if n := len(far.Reports()); n != 2 {
			t.Fatalf("%d reports", n)
		}

		p = boot(t, b, client, report.Options{})
		sleep(5 * time.Second)
		items, err := p.store.Items(10)
		if err != nil || len(items) != 2 || items[0].State != store.Duplicate || items[1].State != store.Delivered {
			t.Errorf("%v %+v", err, items)
		}
		p.attack(t, first)
		p.attack(t, second)
		sleep(23 * time.Hour)
		if n := len(far.Reports()); n != 2 {
			t.Errorf("%d reports within the window", n)
		}
		sleep(2 * time.Hour)
		p.attack(t, first)
		sleep(time.Second)
		if n := len(far.Reports()); n != 3 {
			t.Errorf("%d reports after the window", n)
		}
		p.kill()
	})
}

// Through the real store: what waits for the quota goes by a bulk file; killed while the API works at the file, the next process asks again
// by another one, and what is refused there as a duplicate counts as delivered.
func TestBulkThroughTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, transport, end := serve(double.Options{Key: key})
		defer end()
		defer transport.CloseIdleConnections()
		client, err := abuseipdb.New(abuseipdb.Config{URL: "http://127.0.0.1/api/v2/"}, setting.NewSecret(key), "tattled/test", transport)
		if err != nil {
			t.Fatal(err)
		}
		b := mem.New(0)
		sleep(time.Hour) // away from the reset
		far.SetFaults(usedUp(double.Fault{Mode: double.Hold, Endpoint: "bulk-report", Delay: setting.Duration(time.Hour), Times: 1})...)
		p := boot(t, b, client, report.Options{})
		for n := range 1_200 {
			p.attack(t, netip.AddrFrom4([4]byte{185, 220, byte(n >> 8), byte(n)}))
		}
		sleep(5 * time.Second) // the API has the file, the answer is on its way
		p.kill()
		if files, n := far.Files(), len(far.Reports()); len(files) != 1 || n < 1_000 {
			t.Fatalf("%d files, %d reports", len(files), n)
		}
		p = boot(t, b, client, report.Options{})
		sleep(5 * time.Minute)
		if got := p.store.Stats().Items["abuseipdb"]; got[store.Delivered]+got[store.Duplicate] != 1_200 || got[store.Duplicate] < 1_000 {
			t.Errorf("%v", got)
		}
		if n := len(far.Reports()); n != 1_200 {
			t.Errorf("%d reports", n)
		}
		p.kill()
	})
}
