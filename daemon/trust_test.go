package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tattled/daemon/trusted"
	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/syslog"
	"tattled/report/abuseipdb"
)

// dns is name servers: what is in it they answer, to all else that there is no such name. With down nobody answers.
type dns struct {
	mu   sync.Mutex
	has  map[string]string
	down atomic.Bool
}

func (s *dns) lookup(_ context.Context, network, host string) (all []netip.Addr, err error) {
	if s.down.Load() {
		return nil, &net.DNSError{Err: "i/o timeout", IsTimeout: true}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range strings.Fields(s.has[host]) {
		if a := netip.MustParseAddr(text); a.Is4() == (network == "ip4") {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return all, nil
}

// trusting is a daemon of which the committer and chores about trust run.
type trusting struct {
	*Daemon
	configure func(more string)
	stop      func()
}

// startTrusting starts one in dir, where the configuration ends with more. Of chores that of the names runs, and those that are named.
func startTrusting(t *testing.T, dir, more string, lookup trusted.Lookup, chores ...func(*Daemon, context.Context) error) *trusting {
	t.Helper()
	t.Setenv(abuseIPDBKey().variable, "")
	path := filepath.Join(dir, "t.yaml")
	configure := func(more string) {
		t.Helper()
		put(t, dir, "t.yaml", "sources: {syslog: [{listen: \"udp://127.0.0.1:0\"}]}\nstore: {path: "+filepath.Join(dir, "state.db")+"}\nweb: {listen: \"127.0.0.1:0\"}\n"+more, 0o600)
	}
	configure(more)
	d, err := New(Options{Config: path, Log: slog.New(slog.DiscardHandler), lookup: lookup})
	if err != nil {
		t.Fatal(err)
	}
	choring, endChores := context.WithCancel(t.Context())
	commits, endCommits := context.WithCancel(t.Context())
	var running, committing sync.WaitGroup
	for _, chore := range append(chores, (*Daemon).resolveNames) {
		running.Go(func() { _ = chore(d, choring) })
	}
	committing.Go(func() { _ = d.committer.Run(commits) })
	stop := sync.OnceFunc(func() {
		endChores()
		running.Wait()
		endCommits()
		committing.Wait()
		d.close()
	})
	t.Cleanup(stop)
	return &trusting{d, configure, stop}
}

// eventually waits until what is asked holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("not %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (d *trusting) trusts(addr string) bool {
	return d.live.Load().gate.Trusts(netip.MustParseAddr(addr))
}

// refusal is why a failed login from addr is not reported, at the moment of sending; "" if it is.
func (d *trusting) refusal(addr string) string {
	return d.mayTell(&event.Report{Destination: abuseipdb.Destination, Addr: netip.MustParseAddr(addr), Kind: event.AuthFailure})
}

// What names resolve to is trusted, also by what was judged before it was known; it is kept when nobody answers, over a reload and a
// restart as well; what the configuration does not name any more is not.
func TestTrustedNames(t *testing.T) {
	dir := t.TempDir()
	servers := &dns{has: map[string]string{"vpn.example.org.": "45.9.20.7 2a02:6b8::7", "home.example.org.": "45.9.20.8"}}
	config := "trusted: [vpn.example.org, 45.10.0.0/16]\nown: [home.example.org, 45.11.1.1, gone.example.org]\n"
	d := startTrusting(t, dir, config, servers.lookup, (*Daemon).followTrust)
	eventually(t, "asked", func() bool { return d.trusts("45.9.20.7") })
	for addr, want := range map[string]string{
		"45.9.20.7": "a trusted network", "2a02:6b8::7": "a trusted network", "45.10.1.1": "a trusted network", "45.9.20.8": "this machine", "45.11.1.1": "this machine", "45.9.20.9": "",
	} {
		if got := d.refusal(addr); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q", addr, got)
		}
	}
	if p := d.trustProblems(time.Now()); len(p) != 1 || !strings.HasPrefix(p[0].What, "gone.example.org: ") {
		t.Errorf("%v", p)
	}
	servers.down.Store(true)
	d.reload()
	if !d.reloads.ok() || !d.trusts("45.9.20.7") {
		t.Error("a reload forgets what was resolved")
	}
	eventually(t, "stored", func() bool { return d.store.Note(trustNote+"0") != nil })
	d.stop()

	d = startTrusting(t, dir, config, servers.lookup)
	if !d.trusts("45.9.20.7") || !d.trusts("2a02:6b8::7") || d.refusal("45.9.20.8") == "" {
		t.Error("a restart forgets what was resolved")
	}
	servers.down.Store(false)
	servers.mu.Lock()
	servers.has["vpn.example.org."] = "45.9.20.9"
	servers.mu.Unlock()
	nudge(d.trust.wake)
	eventually(t, "asked again", func() bool { return d.trusts("45.9.20.9") && !d.trusts("45.9.20.7") })
	d.configure("trusted: [45.10.0.0/16]\n")
	d.reload()
	if d.trusts("45.9.20.9") || d.refusal("45.9.20.8") != "" {
		t.Error("a name that is not configured any more is trusted")
	}
}

// Name servers that never answer hold nobody up: neither the start, nor a record, nor a reload, nor the end.
func TestNamesHoldNobodyUp(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	begin := time.Now()
	d := startTrusting(t, t.TempDir(), "trusted: [vpn.example.org]\n", hang)
	b := &receiver.Batch{Source: "test", Received: begin, Records: []receiver.Record{record("sshd", "Failed password for root from 45.9.20.7 port 40022 ssh2")}}
	if err := d.pipeline.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	d.reload()
	d.stop()
	if took := time.Since(begin); took > 8*time.Second || !d.reloads.ok() {
		t.Errorf("%v, %v", took, d.reloads.ok())
	}
}

// A courier waits for names that were never resolved, fifteen seconds at most, and for nothing else.
func TestCouriersWaitForNames(t *testing.T) {
	for name, c := range map[string]struct {
		names string
		asked bool
		known bool
		want  time.Duration
	}{
		"no name": {}, "asked already": {names: "vpn.example.org", asked: true}, "an earlier run knew": {names: "vpn.example.org", known: true},
		"nobody answers": {names: "vpn.example.org", want: namesPatience},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &Daemon{trust: newTrust((&dns{has: map[string]string{"vpn.example.org.": "45.9.20.7"}}).lookup)}
			e := &engine{}
			if c.names != "" {
				var one trusted.Entry
				if err := one.UnmarshalText([]byte(c.names)); err != nil {
					t.Fatal(err)
				}
				e.books.trusted, _ = trusted.Open([]trusted.Entry{one})
			}
			d.live.Store(e)
			if c.asked {
				close(d.trust.asked)
			}
			if c.known {
				d.trust.names.Ask(t.Context(), []string{c.names})
			}
			begin := time.Now()
			ran := false
			if err := d.afterNames(func(context.Context) error { ran = true; return errors.New("its own") })(t.Context()); err == nil || !ran {
				t.Errorf("%s: %v, %v", name, ran, err)
			}
			if took := time.Since(begin); took != c.want {
				t.Errorf("%s: %v, want %v", name, took, c.want)
			}
		})
	}
}

// A file of trusted networks is followed. What is wrong with it is an error with its line at a start and a reload, and a problem
// meanwhile; then what it had is still in effect.
func TestTrustedFile(t *testing.T) {
	dir := t.TempDir()
	offices := put(t, dir, "offices", "# ours\n45.9.20.0/24 # the office\n", 0o600)
	config := "trusted: [" + offices + "]\n"
	d := startTrusting(t, dir, config, (&dns{has: map[string]string{"vpn.example.org.": "45.12.1.1"}}).lookup)
	if !d.trusts("45.9.20.7") || d.trusts("45.9.21.7") {
		t.Error("the file is not in effect")
	}
	look := func() {
		for range 2 { // once to see it, and once that it rests
			d.lookAtTrust(t.Context(), time.Now())
		}
	}
	put(t, dir, "offices", "45.9.21.0/24\nvpn.example.org\n", 0o600)
	look()
	if d.trusts("45.9.20.7") || !d.trusts("45.9.21.7") {
		t.Error("the file is not followed")
	}
	eventually(t, "looked up", func() bool { return d.trusts("45.12.1.1") })
	put(t, dir, "offices", "45.9.22.0/24\n\nno network\n", 0o600)
	look()
	if p := d.trustProblems(time.Now()); !d.trusts("45.9.21.7") || d.trusts("45.9.22.7") || len(p) != 1 || !strings.Contains(p[0].Cause, "line 3: ") {
		t.Errorf("%v", p)
	}
	before := d.live.Load()
	d.reload()
	if d.reloads.ok() || d.live.Load() != before || !strings.Contains(d.reloads.last.Load().failed, "offices:3: ") {
		t.Errorf("the reload says %+v", d.reloads.last.Load())
	}
	os.Remove(offices)
	if _, err := New(Options{Config: filepath.Join(dir, "t.yaml"), Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "t.yaml:4: trusted[0]: ") {
		t.Errorf("a start without it: %v", err)
	}
}

// sender is a source whose senders are those.
type sender struct {
	receiver.Receiver
	peers []syslog.Peer
}

func (s *sender) Peers() []syslog.Peer { return s.peers }

// Who sends us the logs of others is not reported, for thirty days after the last record and over a restart; he is seen, and alerted of.
// Forged senders of datagrams have bounds of their own, and push nobody out.
func TestForwarders(t *testing.T) {
	dir := t.TempDir()
	const mail = "alerts: {mail: {from: a@example.org, to: [b@example.org]}}\n"
	d := startTrusting(t, dir, mail, (&dns{}).lookup)
	now := time.Now()
	peer := func(addr string, datagram bool, ago time.Duration) syslog.Peer {
		return syslog.Peer{Addr: netip.MustParseAddr(addr), Last: now.Add(-ago), Datagram: datagram}
	}
	s := &sender{d.receivers[0], []syslog.Peer{
		peer("45.9.20.7", false, 0), peer("2a02:6b8::7", false, 0), peer("45.9.20.8", true, 0), peer("45.9.20.9", false, -time.Hour), peer("10.0.0.1", false, 0),
	}}
	for i := range 2000 {
		s.peers = append(s.peers, peer(fmt.Sprintf("45.13.%d.%d", i>>8, i&255), true, 0))
	}
	d.receivers = append(d.receivers, s)
	if !d.notePeers(d.live.Load(), now) {
		t.Error("nobody was learned")
	}
	d.publishTrust()
	for addr, forwarder := range map[string]bool{
		"45.9.20.7": true, "2a02:6b8::7": true, "2a02:6b8::8": true, "2a02:6b8:0:1::7": false, "45.9.20.8": true, "45.9.20.9": false, "45.13.0.1": true, "45.13.7.1": false,
	} {
		if got := d.refusal(addr); strings.Contains(got, "logs of others") != forwarder || (got != "") != forwarder {
			t.Errorf("%s: %q", addr, got)
		}
		if d.trusts(addr) {
			t.Errorf("%s is not seen any more", addr)
		}
		if got := d.mayTell(&event.Report{Destination: "mail", Addr: netip.MustParseAddr(addr), Kind: event.AuthFailure}); got != "" {
			t.Errorf("%s: an alert is refused: %q", addr, got)
		}
	}
	if n := len(d.trust.datagrams.List()); n != maxPeersUDP || len(d.trust.peers.List()) != 2 {
		t.Errorf("%d senders of datagrams, %d others", n, len(d.trust.peers.List()))
	}
	if p := d.trustProblems(now); len(p) != 1 || !strings.Contains(p[0].What, "datagrams") {
		t.Errorf("%v", p)
	}
	d.saveTrust(t.Context(), now)
	d.stop()

	d = startTrusting(t, dir, "", (&dns{}).lookup)
	if d.refusal("45.9.20.7") == "" || d.refusal("45.9.20.8") == "" {
		t.Error("a restart forgets them")
	}
	d.lookAtTrust(t.Context(), now.Add(peersFor-time.Minute))
	if d.refusal("45.9.20.7") == "" {
		t.Error("forgotten too early")
	}
	d.lookAtTrust(t.Context(), now.Add(peersFor+time.Minute))
	if d.refusal("45.9.20.7") != "" || d.refusal("2a02:6b8::7") != "" || d.refusal("45.9.20.8") != "" {
		t.Error("not forgotten after 30 days")
	}
}

// From where an account of trusted_accounts provably logged in by SSH, failed logins are not reported: by no other account, no record
// that anybody may have written, no other service, no failure, and not when it was too long ago.
func TestAdministrators(t *testing.T) {
	dir := t.TempDir()
	config := "trusted_accounts: [alice, bob]\ntrusted_login_age: 2d\n"
	d := startTrusting(t, dir, config, (&dns{}).lookup, (*Daemon).followTrust)
	now := time.Now()
	handle := func(source string, r receiver.Record) {
		t.Helper()
		if err := d.pipeline.Handle(t.Context(), &receiver.Batch{Source: source, Received: now, Records: []receiver.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	login := func(account, addr string) receiver.Record {
		return record("sshd", "Accepted publickey for "+account+" from "+addr+" port 52100 ssh2: ED25519 SHA256:xs2xWmE1vTmyz0hGDNsE4yPoQhOnmRJuLMw9XxHTDf0")
	}
	count := login("alice", "45.9.20.2")
	count.Trust = event.TrustCount
	old := login("alice", "45.9.20.3")
	old.Time = now.Add(-49 * time.Hour)
	for _, r := range []receiver.Record{
		count, old, login("mallory", "45.9.20.4"), login("Alice", "45.9.20.5"), login("alice2", "45.9.20.6"),
		record("sshd", "Failed password for alice from 45.9.20.7 port 52100 ssh2"),
		record("sshd", "Invalid user alice from 45.9.20.8 port 52100"),
		record("vsftpd", `[alice] OK LOGIN: Client "45.9.20.9"`),
		record("sshd", "Failed password for invalid user Accepted publickey for alice from 45.9.20.10 port 1 ssh2 from 45.9.20.11 port 52100 ssh2"),
		login("alice", "10.0.0.1"),
	} {
		handle("journal", r)
	}
	if all := d.trust.logins.List(); len(all) != 0 {
		t.Fatalf("learned: %v", all)
	}
	handle("journal", login("alice", "45.9.20.1"))
	handle("journal", login("bob", "2a02:6b8::7"))
	for addr, want := range map[string]bool{"45.9.20.1": true, "2a02:6b8::9": true, "45.9.20.4": false} {
		e := event.Event{Addr: netip.MustParseAddr(addr), Kind: event.AuthFailure, Handshake: true, Trust: event.TrustReport, Time: now, Received: now}
		if got := d.live.Load().gate.Refuse(&e) == policy.Administrator; got != want || (d.refusal(addr) != "") != want {
			t.Errorf("%s: refused: %v, %q", addr, got, d.refusal(addr))
		}
		web := event.Report{Destination: abuseipdb.Destination, Addr: e.Addr, Kind: event.WebAttack}
		if got := d.mayTell(&web); got != "" {
			t.Errorf("%s: a web attack is not reported: %q", addr, got)
		}
		if _, out := (scores{&d.live}).Check(t.Context(), e.Addr, time.Hour); strings.Contains(out.Detail, "trusted_accounts") != want {
			t.Errorf("%s: whether a score is asked for: %+v", addr, out)
		}
	}
	eventually(t, "stored", func() bool { return d.store.Note(trustNote+"0") != nil && !d.trust.logins.Dirty() })
	d.stop()

	d = startTrusting(t, dir, config, (&dns{}).lookup)
	if d.refusal("45.9.20.1") == "" || d.refusal("2a02:6b8::7") == "" {
		t.Error("a restart forgets them")
	}
	d.configure("trusted_accounts: [alice]\n")
	d.reload()
	if d.refusal("45.9.20.1") == "" || d.refusal("2a02:6b8::7") != "" {
		t.Error("an account that is not trusted any more is")
	}
	d.lookAtTrust(t.Context(), now.Add(defaultLoginAge+time.Minute))
	if d.refusal("45.9.20.1") != "" {
		t.Error("not forgotten")
	}
}

// Without trusted_accounts no login makes anybody trusted.
func TestNoAdministratorsByDefault(t *testing.T) {
	d := startTrusting(t, t.TempDir(), "", (&dns{}).lookup)
	b := &receiver.Batch{Source: "journal", Received: time.Now(), Records: []receiver.Record{record("sshd", "Accepted password for root from 45.9.20.1 port 52100 ssh2")}}
	if err := d.pipeline.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if all := d.trust.logins.List(); len(all) != 0 || d.refusal("45.9.20.1") != "" {
		t.Errorf("%v, %q", all, d.refusal("45.9.20.1"))
	}
}

// An address that this machine got a moment ago is known before anything is sent.
func TestOwnAddressesAreLookedUpBeforeSending(t *testing.T) {
	d := startTrusting(t, t.TempDir(), "", (&dns{}).lookup)
	own, err := ownAddresses()
	if err != nil || len(own) == 0 {
		t.Fatal(own, err)
	}
	d.live.Load().gate.SetOwn(nil) // as it was before the machine had one
	d.own.last = time.Now().Add(-ownFresh)
	d.mayTell(&event.Report{Destination: abuseipdb.Destination, Addr: netip.MustParseAddr("45.9.20.7")})
	if got := d.live.Load().gate.RefuseAddr(own[0]); got != policy.Own {
		t.Errorf("%s: %q", own[0], got)
	}
}

// check says what names are at present, and warns of those that do not resolve; it fails for neither.
func TestCheckOfNames(t *testing.T) {
	dir := t.TempDir()
	path := put(t, dir, "t.yaml", "sources: {journal: {}}\nstore: {path: "+filepath.Join(dir, "state.db")+"}\nown: [gone.example.org]\ntrusted: [vpn.example.org]\n", 0o600)
	c := checking{path: path, parts: shippedParts(), lookup: (&dns{has: map[string]string{"vpn.example.org.": "45.9.20.7 2a02:6b8::7"}}).lookup}
	found, err := c.run()
	if err != nil || fmt.Sprint(found.Names) != "[vpn.example.org is 45.9.20.7 2a02:6b8::7 at present]" {
		t.Errorf("%q, %v", found.Names, err)
	}
	if w := strings.Join(found.Warnings, "\n"); !strings.Contains(w, "t.yaml:3: own: gone.example.org") || strings.Contains(w, "vpn.") {
		t.Errorf("warnings: %s", w)
	}
	for text, want := range map[string]string{
		"trusted_accounts: [\"\"]":              "trusted_accounts[0]: ",
		"trusted_login_age: 91d":                "trusted_login_age: ",
		"trusted: [localhost]":                  "trusted[0]: ",
		"own: [/nowhere/at/all]":                "own[0]: /nowhere/at/all: no such file",
		"trusted: [a.example.org, 192.0.2.300]": "trusted[1]: ",
	} {
		path := put(t, dir, "t.yaml", "sources: {journal: {}}\nstore: {path: "+filepath.Join(dir, "state.db")+"}\n"+text+"\n", 0o600)
		c := checking{path: path, parts: shippedParts(), lookup: (&dns{}).lookup}
		if _, err := c.run(); err == nil || !strings.Contains(err.Error(), "t.yaml:3: "+want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
