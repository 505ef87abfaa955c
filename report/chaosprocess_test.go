package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/setting"
	"tattled/store"
	"tattled/store/bolt"
)

const (
	// chaosMark is in the environment of a process of the campaign: the file with its life.
	chaosMark = "TATTLED_CHAOS_LIFE"
	// chaosClock is the header with the true time of a request, by which the double goes.
	chaosClock = "X-Chaos-Clock"
	// patient is for how long, of real time, such a process waits for an answer; of its own time it is the client's whole time limit.
	patient = 400 * time.Millisecond
)

// life is what a process of the campaign is to do from its start to its end.
type life struct {
	Number    int
	Dir, URL  string
	Start     time.Time     // the true time
	Skew      time.Duration // of the machine's clock
	Uncertain store.Uncertain
	Seed      uint64 // of the random part of waits
	InOrder   bool   // two requests are not under way at once, so that the same life comes out the same again
	Steps     []lifeStep
	KillAt    int  // at which point it kills itself, 0 for never
	Stop      bool // stop in order after the last step; else it kills itself then
}

// lifeStep is a time to wait, and who attacks then.
type lifeStep struct {
	Wait    time.Duration
	Attacks []int
}

// chaosEntry is a line of the log that all processes of a world write, in order.
type chaosEntry struct {
	At    time.Time `json:"at"`    // true
	Clock time.Time `json:"clock"` // what the machine's clock showed
	Life  int       `json:"life"`
	What  string    `json:"what"`
	Addrs []string  `json:"addrs,omitempty"`
	Full  bool      `json:"full,omitempty"` // of an answer: it came whole
	Text  string    `json:"text,omitempty"`
}

func (e chaosEntry) String() string {
	return fmt.Sprintf("%s life %d (its clock: %s) %s %.200s", e.At.Format(time.DateTime), e.Life, e.Clock.Format(time.DateTime), e.What, e.Text)
}

// writeChaos appends to a log: one write, so that neither a kill nor another process tears it.
func writeChaos(dir string, e chaosEntry) {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	f, err := os.OpenFile(dir+"/log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.Write(append(text, '\n')); err != nil {
		panic(err)
	}
}

// mortal is a process of the campaign.
type mortal struct {
	life
	mu     sync.Mutex
	points int
}

func (m *mortal) log(what, text string, addrs ...string) {
	m.write(chaosEntry{What: what, Text: text, Addrs: addrs})
}

func (m *mortal) write(e chaosEntry) {
	now := time.Now().UTC()
	e.At, e.Clock, e.Life = now.Add(-m.Skew), now, m.Number
	writeChaos(m.Dir, e)
}

// point is where the process may be killed. The kill is a real one.
func (m *mortal) point(name string) {
	m.mu.Lock()
	m.points++
	die := m.points == m.KillAt
	m.mu.Unlock()
	if die {
		m.die(name)
	}
}

func (m *mortal) die(name string) {
	m.log("killed", name)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// TestChaosProcess is a process of the campaign: the store on its file, committer, courier and client, over TCP to the double. It
// runs in a bubble, so that its clock shows what the campaign wants, and hours pass in no time. While it waits for the
// network its clock does not go on.
func TestChaosProcess(t *testing.T) {
	path := os.Getenv(chaosMark)
	if path == "" {
		return // this is not one
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{}
	if err := json.Unmarshal(text, &m.life); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, m.live)
}

func (m *mortal) live(t *testing.T) {
	sleep(time.Until(m.Start.Add(m.Skew)))
	m.log("start", fmt.Sprintf("the clock is off by %v, uncertain: %s", m.Skew, m.Uncertain))
	backend, opened, err := bolt.Open(m.Dir+"/state.db", bolt.Options{Now: time.Now()})
	if err != nil || opened.Damage != "" {
		t.Fatal(err, opened.Damage)
	}
	st, err := store.New(&pointed{backend, m}, store.Config{}.Options())
	if err != nil {
		t.Fatal(err)
	}
	client, err := abuseipdb.New(abuseipdb.Config{URL: m.URL}, setting.NewSecret(key), "tattled/test", m.transport())
	if err != nil {
		t.Fatal(err)
	}
	rules := []policy.Config{{
		Name: "ssh", When: policy.When{Kind: []event.Kind{event.AuthFailure}}, Threshold: 3,
		Within: setting.Duration(10 * time.Minute), Do: []string{"report"},
	}}
	judge := policy.New(rules, policy.NewGate(policy.GateConfig{}), []policy.Destination{{Name: "abuseipdb", Action: policy.Report, Window: chaosWindow}}, nil)
	committer := store.NewCommitter(st, judge, store.CommitterOptions{OnCommit: m.committed})
	o := options(newBox())
	o.Note, o.PutNote = st.Note, committer.PutNote
	o.Terms = func() report.Terms { return report.Terms{Uncertain: m.Uncertain, Rate: 20} }
	draw := rand.New(rand.NewPCG(m.Seed, 0))
	o.Draw = func(n time.Duration) time.Duration { return time.Duration(draw.Int64N(int64(n))) }
	o.OnSettled = func(item store.Item, out report.Outcome) {
		m.log("settled", fmt.Sprintf("as %s: %s", out.Result, out.Detail), item.Report.Addr.String())
	}
	courier := report.NewCourier(client, committer.Outbox("abuseipdb"), o)

	ctx, cancel := context.WithCancel(t.Context())
	committing, stopCommitter := context.WithCancel(context.WithoutCancel(t.Context()))
	var couriers, committers sync.WaitGroup
	committers.Go(func() { m.must(t, committer.Run(committing)) })
	if m.InOrder {
		synctest.Wait() // the committer runs
	}
	couriers.Go(func() { m.must(t, courier.Run(ctx)) })
	for _, step := range m.Steps {
		sleep(step.Wait)
		m.attack(t, committer, step.Attacks)
	}
	if !m.Stop {
		m.die("at the end of its life")
	}
	cancel()
	couriers.Wait()
	stopCommitter()
	committers.Wait()
	m.must(t, st.Close())
	m.log("stopped", "in order")
}

func (m *mortal) must(t *testing.T, err error) {
	if err != nil {
		m.log("failed", err.Error())
		t.Error(err)
	}
}

// chaosAddress is the address of the n-th attacker.
func chaosAddress(n int) netip.Addr { return netip.AddrFrom4([4]byte{185, 220, byte(n >> 8), byte(n)}) }

// attack has attackers fail three times each.
func (m *mortal) attack(t *testing.T, c *store.Committer, attackers []int) {
	now := time.Now()
	for _, n := range attackers {
		var all []event.Event
		for i := range 3 {
			all = append(all, event.Event{
				Time: now, Received: now, Kind: event.AuthFailure, Service: "sshd", Rule: "failed-password", Categories: []int{18, 22},
				Addr: chaosAddress(n), Port: uint16(40000 + i), LocalPort: 22, Proto: event.TCP, Handshake: true, User: fmt.Sprint("user", i),
				Host: "web1", Source: "journal", Trust: event.TrustReport, Line: "Failed password for user from somewhere",
			})
		}
		m.log("attack", "", chaosAddress(n).String())
		m.must(t, c.Submit(t.Context(), all, "", nil))
	}
}

func (m *mortal) committed(events []event.Event, due []event.Report) {
	var addrs, reports []string
	for i := range events {
		if len(addrs) == 0 || addrs[len(addrs)-1] != events[i].Addr.String() {
			addrs = append(addrs, events[i].Addr.String())
		}
	}
	for i := range due {
		reports = append(reports, due[i].Addr.String())
	}
	m.log("durable", "the attack", addrs...)
	m.log("due", "a report", reports...)
}

// pointed is a backend with points around and within each write.
type pointed struct {
	store.Backend
	m *mortal
}

func (p *pointed) Update(fn func(store.Tx) error) error {
	p.m.point("before a write")
	err := p.Backend.Update(func(tx store.Tx) error {
		err := fn(tx)
		p.m.point("within a write")
		return err
	})
	p.m.point("after a write")
	return err
}

// transport makes one connection a request, because one that idles would keep the clock from going on.
func (m *mortal) transport() http.RoundTripper {
	return &chaosTransport{m: m, next: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, to)
			if err == nil {
				conn.SetDeadline(time.Now().Add(patient))
			}
			return conn, err
		},
	}}
}

type chaosTransport struct {
	m    *mortal
	next http.RoundTripper
}

func (c *chaosTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	addrs := addressesOf(r.Header.Get("Content-Type"), body)
	r.Body, r.GetBody = io.NopCloser(bytes.NewReader(body)), nil
	endpoint := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if c.m.InOrder { // one after the other: the clock stands still while one is under way
		sum := fnv.New32a()
		fmt.Fprint(sum, endpoint, addrs)
		<-time.After(time.Duration(1+sum.Sum32()%1000) * time.Microsecond)
	}
	r.Header.Set(chaosClock, time.Now().Add(-c.m.Skew).UTC().Format(time.RFC3339Nano))
	c.m.point("before a request")
	c.m.log("asks", endpoint, addrs...)
	resp, err := c.next.RoundTrip(r)
	if err == nil {
		var text []byte
		text, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body = &cutBody{bytes.NewReader(text), err}
		c.m.write(chaosEntry{What: "answer", Addrs: addrs, Full: err == nil && json.Valid(text), Text: fmt.Sprintf("%s: status %d %s", endpoint, resp.StatusCode, text)})
		err = nil
	} else {
		c.m.log("no answer", err.Error(), addrs...)
	}
	c.m.point("after an answer")
	var late net.Error
	if err != nil && errors.As(err, &late) && late.Timeout() {
		<-r.Context().Done() // the time that was not to be waited for
		return nil, r.Context().Err()
	}
	return resp, err
}

// cutBody is a body that ends as that of the answer ended.
type cutBody struct {
	io.Reader
	err error
}

func (c *cutBody) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if err == io.EOF && c.err != nil {
		err = c.err
	}
	return n, err
}

func (c *cutBody) Close() error { return nil }

// addressesOf returns whom a request names.
func addressesOf(kind string, body []byte) []string {
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("ip") != "" {
		return []string{form.Get("ip")}
	}
	_, parameters, err := mime.ParseMediaType(kind)
	if err != nil {
		return nil
	}
	part, err := multipart.NewReader(bytes.NewReader(body), parameters["boundary"]).NextPart()
	if err != nil {
		return nil
	}
	file, err := io.ReadAll(part)
	if err != nil {
		return nil
	}
	var all []string
	for line := range strings.Lines(string(file)) {
		if ip, _, ok := strings.Cut(line, ","); ok && ip != "IP" {
			all = append(all, ip)
		}
	}
	return all
}
