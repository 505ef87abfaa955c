package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tattled/event"
	"tattled/policy"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/store"
	"tattled/web"
)

// oldestByHand is how long ago what is reported by hand may have begun: AbuseIPDB takes nothing older than 60 days, and the report may wait.
const oldestByHand = 50 * 24 * time.Hour

// reportByHand has an address reported because the operator says so. The gate is asked as for any report, and at most one goes out in a
// window.
func (d *Daemon) reportByHand(ctx context.Context, addr netip.Addr, asked web.HandReport) (web.HandReceipt, error) {
	e, now := d.live.Load(), time.Now()
	addr = policy.Peer(addr)
	categories, err := abuseipdb.ParseCategories(asked.Categories)
	if err != nil {
		return web.HandReceipt{}, web.HandRefused{Usage: true, Detail: err.Error()}
	}
	comment, err := cleanComment(asked.Comment)
	if err != nil {
		return web.HandReceipt{}, web.HandRefused{Usage: true, Detail: err.Error()}
	}
	if refusal := e.gate.RefuseNetwork(netip.PrefixFrom(addr, addr.BitLen())); refusal != policy.None {
		return web.HandReceipt{}, web.HandRefused{Detail: fmt.Sprintf("%s is not reported, because %s", addr, e.gate.Because(refusal, addr))}
	}
	r := event.Report{Destination: abuseipdb.Destination, Addr: addr, Categories: categories, Comment: comment}
	known, _, err := d.store.Address(addr)
	if err != nil {
		return web.HandReceipt{}, err
	}
	if !describe(&r, &known, now) && comment == "" {
		return web.HandReceipt{}, web.HandRefused{Usage: true, Detail: "nothing hostile is known of " + addr.String() + ": describe with a comment what it did"}
	}
	var until time.Time
	err = d.committer.Do(ctx, func(tx *store.WriteTx) error {
		until, err = tx.ReportByHand(&r, now)
		return err
	})
	switch {
	case err != nil:
		return web.HandReceipt{}, err
	case !until.IsZero():
		return web.HandReceipt{}, web.HandRefused{Detail: fmt.Sprintf("%s is not reported before %s: it was reported, or retracted, less than a window ago (report.abuseipdb.window)", addr, until.UTC().Format(time.RFC3339))}
	}
	d.log.Info("reported by hand", "ip", addr.String(), "id", r.ID, "dry_run", r.DryRun)
	return web.HandReceipt{Address: addr.String(), ID: r.ID, Destination: r.Destination, Categories: categories, DryRun: r.DryRun}, nil
}

// describe says in r what the address is known to have done most, and reports whether that is hostile.
func describe(r *event.Report, known *store.Address, now time.Time) bool {
	r.Kind, r.Count, r.First, r.Last, r.Place = event.Probe, 1, now, now, known.Place
	var most uint64
	for _, kind := range event.Kinds() {
		if n := known.Counts[kind]; kind.Hostile() && n > most {
			r.Kind, most = kind, n
		}
	}
	if most == 0 || now.Sub(known.Last) > oldestByHand {
		return false
	}
	r.Count, r.First, r.Last = int(min(most, 1<<30)), known.First, known.Last
	if oldest := now.Add(-oldestByHand); r.First.Before(oldest) {
		r.First = oldest
	}
	return true
}

// cleanComment returns a comment as AbuseIPDB shows it to everybody: one line, without what would be an escape in a bulk file or a formula
// in somebody's spreadsheet.
func cleanComment(text string) (string, error) {
	text = strings.NewReplacer(`"`, "'", `\`, "/").Replace(strings.TrimSpace(text))
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case text == "":
		return "", nil
	case event.Visible(text) != text:
		return "", errors.New("a comment is one line of characters that can be seen")
	case len(text) > event.MaxComment:
		return "", fmt.Errorf("the comment has %d bytes: %d at most", len(text), event.MaxComment)
	case !unicode.IsLetter(first) && !unicode.IsDigit(first):
		return "", errors.New("a comment begins with a letter or a digit")
	}
	return text, nil
}

// retract takes back what was reported about an address: what waits is not sent, AbuseIPDB deletes what it has of us, and the address is held
// back for a window. The operator may name a trusted address here, which was reported before it was trusted, but none that nobody can have
// reported.
func (d *Daemon) retract(ctx context.Context, addr netip.Addr) (web.Retraction, error) {
	e, now := d.live.Load(), time.Now()
	addr = policy.Peer(addr)
	switch refusal := e.gate.RefuseAddr(addr); refusal {
	case policy.None, policy.Trusted, policy.Own, policy.Forwarder, policy.Infrastructure:
	default:
		return web.Retraction{}, web.HandRefused{Detail: fmt.Sprintf("%s was never reported, because %s", addr, e.gate.Because(refusal, addr))}
	}
	answer := web.Retraction{Address: addr.String()}
	err := d.committer.Do(ctx, func(tx *store.WriteTx) (err error) {
		answer.Withdrawn, answer.HeldUntil, err = tx.Retract(abuseipdb.Destination, addr, "retracted by hand", now)
		return err
	})
	if err != nil {
		return web.Retraction{}, err
	}
	c := e.abuseIPDB()
	if c == nil || c.DryRun() {
		answer.DryRun = true
		return answer, nil
	}
	deleted, out := c.Clear(ctx, addr)
	d.log.Info("retracted by hand", "ip", addr.String(), "result", out.Result.String(), "deleted", deleted, "withdrawn", answer.Withdrawn, "detail", out.Detail)
	if out.Result != report.Delivered {
		return web.Retraction{}, web.HandRefused{Detail: fmt.Sprintf("%s is held back until %s and nothing about it waits any more, but AbuseIPDB did not delete what it has: %s. Try again",
			addr, answer.HeldUntil.UTC().Format(time.RFC3339), out.Detail)}
	}
	answer.Deleted = deleted
	return answer, nil
}
