package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tattled/daemon/trusted"
	"tattled/event"
	"tattled/policy"
	"tattled/receiver/syslog"
	"tattled/setting"
	"tattled/store"
)

// Who is trusted beyond fixed networks: what files list and names resolve to, who sends us the logs of others, and where administrators
// log in from. Chores look it up and hand it to the gate, set by set; no receiver waits for any of it. docs/trusted.md.

const (
	// trustLook is how often files and peers are looked at, and namesEvery how often names are.
	trustLook  = 5 * time.Second
	namesEvery = 5 * time.Minute
	// namesPatience is how long couriers wait at the start for names that no earlier run resolved.
	namesPatience = 15 * time.Second
	// peersFor is how long a peer that sent us logs is not reported after its last record.
	peersFor = 30 * 24 * time.Hour
	// The bounds of what is learned. Of who sends datagrams nobody makes room for another one, because they may be forged.
	maxPeersTCP, maxPeersUDP, maxAdmins = 512, 512, 256
	// fullFor is how long it is a problem that a peer had no place.
	fullFor = 24 * time.Hour
	// savedEvery is how often all is stored though nothing changed, so that the ages are about right.
	savedEvery = 24 * time.Hour
)

// trust is what is known of who is trusted, over reloads.
type trust struct {
	names                    *trusted.Names
	peers, datagrams, logins *trusted.Learned

	wake  chan struct{} // has names looked up now
	store chan struct{} // has what was learned stored now
	asked chan struct{} // closed when all names were asked for once

	publishing sync.Mutex // of files, names and peers
	admitting  sync.Mutex // of administrators

	// Of the chore alone.
	pieces int       // that are stored
	saved  time.Time // when
}

func newTrust(lookup trusted.Lookup) *trust {
	if lookup == nil {
		lookup = trusted.SystemLookup()
	}
	return &trust{
		names: trusted.NewNames(lookup),
		peers: trusted.NewLearned(maxPeersTCP, true), datagrams: trusted.NewLearned(maxPeersUDP, false), logins: trusted.NewLearned(maxAdmins, true),
		wake: make(chan struct{}, 1), store: make(chan struct{}, 1), asked: make(chan struct{}),
	}
}

// nudge has whoever waits for c look now.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// books are the lists of an engine that name files and DNS names.
type books struct{ trusted, own *trusted.Book }

// openBooks reads the files that cfg names.
func openBooks(cfg *Config) (books, Faults) {
	var b books
	var all Faults
	open := func(name string, entries []trusted.Entry) *trusted.Book {
		book, faults := trusted.Open(entries)
		for _, f := range faults {
			at := cfg.origin.fault(fmt.Sprintf("%s[%d]", name, f.Entry), f.Problem)
			if f.File != "" {
				at.File, at.Line, at.Setting = f.File, f.Line, ""
			}
			all = append(all, at)
		}
		return book
	}
	b.trusted, b.own = open("trusted", cfg.Trusted), open("own", cfg.Own)
	return b, all
}

// names returns all DNS names.
func (b books) names() []string {
	all := slices.Concat(b.trusted.Names(), b.own.Names())
	slices.Sort(all)
	return slices.Compact(all)
}

// problems says which files cannot be used.
func (b books) problems() []event.Problem {
	return slices.Concat(b.trusted.Problems(), b.own.Problems())
}

// publish hands e's gate what the files and names of e, and the peers, are.
func (t *trust) publish(e *engine) {
	t.publishing.Lock()
	defer t.publishing.Unlock()
	own := slices.Concat(e.books.own.Networks(), hosts(t.names.Addrs(e.books.own.Names())))
	for _, n := range trusted.Networks(e.config.Own) {
		own = append(own, n.Prefixes()...)
	}
	e.gate.SetTrusted(slices.Concat(e.books.trusted.Networks(), hosts(t.names.Addrs(e.books.trusted.Names()))))
	e.gate.SetOwnNetworks(own)
	e.gate.SetForwarders(slices.Concat(t.peers.Networks(nil), t.datagrams.Networks(nil)))
}

// admit hands e's gate from where its trusted accounts log in.
func (t *trust) admit(e *engine) {
	t.admitting.Lock()
	defer t.admitting.Unlock()
	e.gate.SetAdministrators(t.logins.Networks(func(s trusted.Seen) bool { return slices.Contains(e.config.TrustedAccounts, s.Account) }))
}

func hosts(addrs []netip.Addr) []netip.Prefix {
	all := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		all[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return all
}

// publishTrust brings the engine in use up to date. Whoever changed something calls it after that: whichever engine is in use then,
// either this call or that of the reload sees both.
func (d *Daemon) publishTrust() {
	e := d.live.Load()
	d.trust.publish(e)
	d.trust.admit(e)
}

// provenLogin are the services of which a login proves who is there: sshd writes it after the key or the password was right.
func provenLogin(service string) bool { return service == "sshd" || service == "dropbear" }

// noteLogin takes in a login. It is called in the receive path, for successful logins alone, before they are judged.
func (d *Daemon) noteLogin(e *event.Event) {
	live := d.live.Load()
	if !provenLogin(e.Service) || !e.Handshake || e.Trust != event.TrustReport || !slices.Contains(live.config.TrustedAccounts, e.User) {
		return
	}
	if e.Received.Sub(e.Time) >= live.config.loginAge() || live.gate.RefuseAddr(e.Addr).Internal() {
		return
	}
	if d.trust.logins.Note(trusted.Seen{Network: policy.Network(e.Addr), Account: e.User, Last: e.Time}) {
		d.trust.admit(d.live.Load())
		nudge(d.trust.store)
		d.log.Info("where a trusted account logged in from is not reported for failed logins", "network", policy.Network(e.Addr).String(),
			"account", e.User, "for", live.config.loginAge().String())
	}
}

// teller is a source whose senders are known.
type teller interface{ Peers() []syslog.Peer }

// followTrust reads changed files, learns who sends us logs, and stores what was learned.
func (d *Daemon) followTrust(ctx context.Context) error {
	tick := time.NewTicker(trustLook)
	defer tick.Stop()
	for {
		d.lookAtTrust(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-d.trust.store:
		}
	}
}

func (d *Daemon) lookAtTrust(ctx context.Context, now time.Time) {
	t, e := d.trust, d.live.Load()
	changed := false
	for _, b := range []*trusted.Book{e.books.trusted, e.books.own} {
		if b.Poll(now) {
			changed = true
			nudge(t.wake)
		}
	}
	changed = d.notePeers(e, now) || changed
	changed = t.peers.Expire(now.Add(-peersFor)) || changed
	changed = t.datagrams.Expire(now.Add(-peersFor)) || changed
	changed = t.logins.Expire(now.Add(-e.config.loginAge())) || changed
	if changed {
		d.publishTrust()
	}
	if t.names.Dirty() || t.peers.Dirty() || t.datagrams.Dirty() || t.logins.Dirty() || now.Sub(t.saved) >= savedEvery {
		d.saveTrust(ctx, now)
	}
}

// notePeers takes in who sent records. Of an address that is never reported anyway nothing is kept.
func (d *Daemon) notePeers(e *engine, now time.Time) (changed bool) {
	for _, r := range d.receivers {
		l, ok := opened(r).(teller)
		if !ok {
			continue
		}
		for _, p := range l.Peers() {
			if e.gate.RefuseAddr(p.Addr).Internal() || p.Last.After(now) {
				continue
			}
			set := d.trust.peers
			if p.Datagram {
				set = d.trust.datagrams
			}
			if set.Note(trusted.Seen{Network: policy.Network(p.Addr), Last: p.Last}) {
				changed = true
				d.log.Info("who sends logs is not reported", "network", policy.Network(p.Addr).String(), "source", r.Source(), "for", peersFor.String())
			}
		}
	}
	return changed
}

// resolveNames looks up the DNS names, now and every five minutes.
func (d *Daemon) resolveNames(ctx context.Context) error {
	var known map[string]bool
	var once sync.Once
	for {
		names := d.live.Load().books.names()
		before := d.addrsOf(names)
		if d.trust.names.Ask(ctx, names) && ctx.Err() == nil {
			d.publishTrust()
			d.trust.names.Changed()
			nudge(d.trust.store)
			d.logAnswers(names, before)
		}
		if ctx.Err() != nil {
			return nil
		}
		once.Do(func() { close(d.trust.asked) })
		known = d.logNames(known, d.trust.names.Problems(names, time.Now()))
		timer := time.NewTimer(namesEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-d.trust.wake:
		}
		timer.Stop()
	}
}

// addrsOf returns the addresses of each name, as one string.
func (d *Daemon) addrsOf(names []string) map[string]string {
	all := map[string]string{}
	for _, name := range names {
		all[name] = strings.Trim(fmt.Sprint(d.trust.names.Addrs([]string{name})), "[]")
	}
	return all
}

// logAnswers logs which names have other addresses than before: whoever can forge an answer is trusted by it.
func (d *Daemon) logAnswers(names []string, before map[string]string) {
	now := d.addrsOf(names)
	for _, name := range names {
		if now[name] != before[name] {
			d.log.Info("a trusted name has other addresses", "name", name, "addresses", now[name], "before", before[name])
		}
	}
}

// logNames logs each problem of a name once when it begins, and once when it is over. It returns what is known now.
func (d *Daemon) logNames(known map[string]bool, problems []event.Problem) map[string]bool {
	now := map[string]bool{}
	for _, p := range problems {
		if now[p.What] = true; !known[p.What] {
			d.log.Warn("a trusted name has a problem", "what", p.What, "cause", p.Cause, "remedy", p.Remedy)
		}
	}
	for what := range known {
		if !now[what] {
			d.log.Info("the problem of a trusted name is over", "what", what)
		}
	}
	return now
}

// afterNames has a courier wait, a short time at most, for names that were never resolved: what they stand for must not be reported in the
// first second of a first start.
func (d *Daemon) afterNames(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if !d.trust.names.Known(d.live.Load().books.names()) {
			timer := time.NewTimer(namesPatience)
			defer timer.Stop()
			select {
			case <-d.trust.asked:
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		return run(ctx)
	}
}

// trustNote begins the notes that what was learned is kept in.
const trustNote = "trusted/"

// The store's bound of a note, and how many there may be.
const (
	trustPiece  = 4000
	trustPieces = 128
)

// saveTrust stores what was learned. What fails is tried again at the next look.
func (d *Daemon) saveTrust(ctx context.Context, now time.Time) {
	t := d.trust
	t.names.Stored() // before they are read: what changes meanwhile is stored again
	m := trusted.Memory{Names: t.names.Store(), Peers: t.peers.List(), Datagrams: t.datagrams.List(), Logins: t.logins.List()}
	pieces := m.Pack(trustPiece)
	if len(pieces) > trustPieces {
		return
	}
	err := d.committer.Do(ctx, func(tx *store.WriteTx) error {
		for i := range max(len(pieces), t.pieces) {
			var piece []byte // nil takes it away
			if i < len(pieces) {
				piece = pieces[i]
			}
			if err := tx.PutNote(fmt.Sprint(trustNote, i), piece); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.names.Changed()
		return
	}
	t.pieces, t.saved = len(pieces), now
	t.peers.Stored(m.Peers)
	t.datagrams.Stored(m.Datagrams)
	t.logins.Stored(m.Logins)
}

// restoreTrust takes up what earlier runs learned.
func (d *Daemon) restoreTrust() {
	var pieces [][]byte
	for i := range trustPieces {
		piece := d.store.Note(fmt.Sprint(trustNote, i))
		if piece == nil {
			break
		}
		pieces = append(pieces, piece)
	}
	m, t, now := trusted.Unpack(pieces), d.trust, time.Now()
	t.pieces, t.saved = len(pieces), now
	t.names.Restore(m.Names)
	t.peers.Restore(m.Peers)
	t.datagrams.Restore(m.Datagrams)
	t.logins.Restore(m.Logins)
	t.peers.Expire(now.Add(-peersFor))
	t.datagrams.Expire(now.Add(-peersFor))
	t.logins.Expire(now.Add(-d.live.Load().config.loginAge()))
	d.publishTrust()
}

// trustProblems says what of it is not as it should be.
func (d *Daemon) trustProblems(now time.Time) []event.Problem {
	b := d.live.Load().books
	all := slices.Concat(b.problems(), d.trust.names.Problems(b.names(), now))
	if at := d.trust.datagrams.Full(); !at.IsZero() && now.Sub(at) < fullFor {
		all = append(all, event.Problem{
			What:   "more addresses send datagrams than are remembered as senders of logs",
			Cause:  fmt.Sprintf("there are %d, and a new one may be reported like anybody; the last was at %s", maxPeersUDP, at.UTC().Format(time.RFC3339)),
			Remedy: "find out whether somebody forges addresses of the networks in allow, and write the true senders into trusted",
		})
	}
	return all
}

// The bounds of TrustedAccounts and TrustedLoginAge.
const (
	maxTrustedAccounts = 64
	defaultLoginAge    = 7 * 24 * time.Hour
	minLoginAge        = time.Hour
	maxLoginAge        = 90 * 24 * time.Hour
)

// loginAge is for how long the address of a trusted account's login is not reported.
func (c *Config) loginAge() time.Duration {
	if c.TrustedLoginAge == 0 {
		return defaultLoginAge
	}
	return c.TrustedLoginAge.D()
}

// checkTrust finds faults of who is trusted.
func (c *Config) checkTrust(report setting.FaultFunc) {
	if n := len(c.TrustedAccounts); n > maxTrustedAccounts {
		report("trusted_accounts", fmt.Sprintf("%d accounts, and at most %d are possible", n, maxTrustedAccounts))
	}
	for i, account := range c.TrustedAccounts {
		if account == "" || len(account) > maxName {
			report(fmt.Sprintf("trusted_accounts[%d]", i), fmt.Sprintf("%q is not the name of an account: write it as it is logged, 1 to %d bytes", account, maxName))
		}
	}
	if age := c.loginAge(); age < minLoginAge || age > maxLoginAge {
		report("trusted_login_age", fmt.Sprintf("%s is out of bounds: 1h to 90d", c.TrustedLoginAge))
	}
}
