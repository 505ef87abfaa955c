package store

import (
	"bytes"
	"errors"
	"net/netip"
	"time"

	"tattled/event"
	"tattled/policy"
)

// errNoPolicy is for a committer that judges nothing.
var errNoPolicy = errors.New("there is no policy to judge by")

// ReportByHand puts r, which the operator asks for, into the outbox of its destination, as a policy does: the window of the address is opened
// in the same transaction. Where one is open, nothing is done, and until says when it ends.
func (tx *WriteTx) ReportByHand(r *event.Report, now time.Time) (until time.Time, err error) {
	w := tx.w
	if w.policy == nil || !w.policy.Reports(r.Destination) {
		return time.Time{}, errNoPolicy
	}
	tx.wrote = true // also where only the address is read: what reads it may write others
	a, err := w.byHand(r.Addr, now)
	if err != nil {
		return time.Time{}, err
	}
	if lost := plainMilli(a.lost); a.lost > 0 && (Restored{At: lost}).Within(w.hold[r.Destination], now) {
		return lost.Add(w.hold[r.Destination]), nil
	}
	if until, ok := w.policy.ReportByHand(&a.state, r, now, &w.judgement.Clock); !ok {
		return until, nil
	}
	_, err = w.addItem(r, now)
	return time.Time{}, err
}

// Retract has the address of a network held back from a destination for a window, and takes what waits about it out of the outbox. What
// remains of it is an item of the policy policy.Retracted, Dismissed, so that everybody sees it. It returns how many reports were taken out,
// and until when the address is held back.
func (tx *WriteTx) Retract(destination string, addr netip.Addr, detail string, now time.Time) (withdrawn int, until time.Time, err error) {
	w := tx.w
	if w.policy == nil || !w.policy.Reports(destination) {
		return 0, time.Time{}, errNoPolicy
	}
	tx.wrote = true
	if withdrawn, err = w.withdraw(destination, addr, now); err != nil {
		return 0, time.Time{}, err
	}
	a, err := w.byHand(addr, now)
	if err != nil {
		return 0, time.Time{}, err
	}
	until = w.policy.HoldBack(&a.state, destination, now)
	r := event.Report{
		ID: policy.RetractionID(destination, addr, now), Destination: destination, Policy: policy.Retracted, Judged: now, Addr: addr, First: now, Last: now,
		Kind: event.AuthFailure, // it needs one, and nobody sends it
	}
	added, err := w.addItem(&r, now)
	if err != nil || !added {
		return withdrawn, until, err
	}
	item, seq := w.find(r.ID)
	if item == nil {
		return withdrawn, until, nil
	}
	return withdrawn, until, w.change(item, seq, func(i *Item) { i.State, i.Settled, i.Detail = Dismissed, now, detail })
}

// byHand returns what is known about an address, which the operator may have heard of elsewhere.
func (w *work) byHand(addr netip.Addr, now time.Time) (*address, error) {
	a, err := w.address(key16(addr))
	if err != nil {
		return nil, err
	}
	if a.total == 0 && a.last == 0 { // else its age would have it forgotten at once
		a.first, a.last = milli(now), milli(now)
	}
	return a, nil
}

// withdraw settles what waits for a destination about an address. What is being sent cannot be stopped.
func (w *work) withdraw(destination string, addr netip.Addr, now time.Time) (n int, err error) {
	network := policy.Network(addr)
	part := inRecord(network)
	var seqs [][]byte
	w.tx.Scan(Items, nil, nil, false, func(k, v []byte) bool {
		if bytes.Contains(v, part) {
			seqs = append(seqs, bytes.Clone(k))
		}
		return true
	})
	for _, seq := range seqs {
		item, ok := openItem(seq, w.tx.Get(Items, seq))
		if !ok || item.State != Pending || item.Report.Destination != destination || policy.Network(item.Report.Addr) != network {
			continue
		}
		n++
		if err := w.change(&item, seq, func(i *Item) { i.State, i.Settled, i.Detail = Dismissed, now, "retracted by hand before it was sent" }); err != nil {
			return n, err
		}
	}
	return n, nil
}
