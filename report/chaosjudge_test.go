package report_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"tattled/report/abuseipdb/double"
	"tattled/store"
	"tattled/store/bolt"
)

// chaosItem is an item of the outbox in the end, with the reports about it that the double accepted.
type chaosItem struct {
	store.Item
	accepted []time.Time
}

// judge reads the two files that are left, and finds fault.
func (w *chaosWorld) judge() {
	w.t.Helper()
	w.restartDouble()
	items := w.items()
	for _, r := range w.double.Reports() {
		w.credit(items, r)
	}
	w.countRequests()
	for _, all := range items {
		for i, item := range all {
			w.judgeEnd(item, all)
			w.judgeTwice(item)
			if i > 0 {
				w.judgeWindow(all[i-1], item)
			}
		}
		w.sum["addresses"]++
		w.sum["reports"] += len(all)
	}
	for _, e := range w.entries {
		for _, addr := range e.Addrs {
			if e.What == "durable" && len(items[addr]) == 0 {
				w.fault(addr, nil, "it attacked, and no report became of that")
			}
		}
	}
}

// items reads the outbox, by address.
func (w *chaosWorld) items() map[string][]*chaosItem {
	w.t.Helper()
	backend, opened, err := bolt.Open(w.dir+"/state.db", bolt.Options{Now: time.Now()})
	if err != nil || opened.Damage != "" || opened.Records > 0 {
		w.t.Fatal(err, opened)
	}
	defer backend.Close()
	st, err := store.New(backend, store.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := st.Items(1 << 30)
	if err != nil {
		w.t.Fatal(err)
	}
	items := map[string][]*chaosItem{}
	for _, item := range all {
		addr := item.Report.Addr.String()
		items[addr] = append(items[addr], &chaosItem{Item: item})
	}
	for addr := range items {
		slices.Reverse(items[addr]) // they came newest first
	}
	return items
}

// credit finds the item that an accepted report is of: by its address and the time of the first event.
func (w *chaosWorld) credit(items map[string][]*chaosItem, r double.Report) {
	w.t.Helper()
	at, err := time.Parse(time.RFC3339, r.Timestamp)
	if err != nil {
		w.t.Fatalf("%+v: %v", r, err)
	}
	w.sum["accepted"]++
	for _, item := range items[r.IP] {
		if item.Report.First.Truncate(time.Second).Equal(at) {
			item.accepted = append(item.accepted, r.ReceivedAt)
			return
		}
	}
	w.fault(r.IP, nil, fmt.Sprintf("the double accepted what is no report of tattled's: %+v", r))
}

// countRequests counts what the double was asked, and how it misbehaved.
func (w *chaosWorld) countRequests() {
	for _, q := range w.double.Requests() {
		w.sum["requests"]++
		if strings.HasSuffix(q.Path, "/bulk-report") {
			w.sum["bulk files"]++
		}
		if q.Fault != "" && q.Fault != double.Pass {
			w.sum["faults"]++
		}
	}
}

// judgeEnd judges in which state an item ended; all are those about its address.
func (w *chaosWorld) judgeEnd(item *chaosItem, all []*chaosItem) {
	w.t.Helper()
	addr := item.Report.Addr.String()
	w.sum["ended "+item.State.String()]++
	switch {
	case item.State == store.Claimed:
		w.fault(addr, item, "nobody sends it, and it is claimed")
	case item.State == store.Pending && item.Detail == "":
		w.fault(addr, item, "it waits and does not say why")
	case (item.State == store.Rejected || item.State == store.Expired || item.State == store.Dismissed) && item.Detail == "":
		w.fault(addr, item, "it was given up and does not say why")
	case len(item.accepted) > 0:
	case item.State == store.Duplicate && w.afterAnother(addr, item, all):
		w.sum["refused because a report of an earlier window had waited as well and was just accepted"]++
	case w.lied(addr):
		w.sum["refused by a fault, so not sent again"]++
	case item.State == store.Delivered || item.State == store.Duplicate:
		w.fault(addr, item, "the double never had it")
	case w.uncertain == store.Resend:
		w.fault(addr, item, "it is lost")
	case item.State != store.Expired:
		w.fault(addr, item, "it was given up, and not for being in doubt")
	}
}

// afterAnother reports whether the double was asked about an address at the time of, or within 15 minutes after, its acceptance of another
// report about it: both waited, for longer than the window.
func (w *chaosWorld) afterAnother(addr string, item *chaosItem, all []*chaosItem) bool {
	for _, other := range all {
		for _, at := range other.accepted {
			if other != item && slices.ContainsFunc(w.entries, func(e chaosEntry) bool {
				return e.What == "asks" && slices.Contains(e.Addrs, addr) && !e.At.Before(at) && e.At.Sub(at) < chaosAgain
			}) {
				return true
			}
		}
	}
	return false
}

// lied reports whether a fault of the double refused this address's report as one that it had or could not take.
func (w *chaosWorld) lied(addr string) bool {
	return slices.ContainsFunc(w.double.Requests(), func(q double.Request) bool {
		form, err := url.ParseQuery(q.Body)
		if err != nil || form.Get("ip") != addr {
			return false
		}
		switch q.Fault {
		case double.Recently, double.RecentlyOf422, double.RecentlyOf429, double.Invalid, double.TooLarge:
			return true
		}
		return false
	})
}

// judgeTwice judges an item that the double accepted more than once.
//
// With resend that may be where it is as DESIGN.md says: the answer was lost, and the 15 minutes were over in which the double
// recognizes the report. With drop it may be where the machine's clock was set back meanwhile, by less than it was down, so
// that the 15 minutes seemed not to be over.
func (w *chaosWorld) judgeTwice(item *chaosItem) {
	w.t.Helper()
	for i := 1; i < len(item.accepted); i++ {
		addr, first, second := item.Report.Addr.String(), item.accepted[i-1], item.accepted[i]
		why := w.answerLost(addr, first)
		switch {
		case second.Sub(first) < chaosAgain:
			w.fault(addr, item, "it was accepted twice within 15 minutes: the double is wrong")
			continue
		case why == "":
			w.fault(addr, item, "it was accepted twice although its answer came")
			continue
		case w.uncertain == store.Resend:
			w.sum[chaosTwiceResend]++
		case w.setBack(addr, first, second):
			w.sum[chaosTwiceDrop]++
			why += ", clock set back meanwhile"
		default:
			w.fault(addr, item, "it was accepted twice, with drop")
			continue
		}
		w.t.Logf("uncertain: %s: %s was accepted again %v after the first time: %s", w.uncertain, addr, second.Sub(first).Round(time.Second), why)
	}
}

// answerLost says how the answer about an address that was accepted at a time was lost: it never came whole, or the process died of a kill
// before it wrote down what it said. It returns "" where the answer was not lost.
func (w *chaosWorld) answerLost(addr string, at time.Time) string {
	from := w.asks(addr, at)
	if from < 0 {
		return ""
	}
	for _, e := range w.entries[from+1:] {
		switch {
		case e.What == "killed" || e.What == "start":
			return "killed " + e.Text
		case !slices.Contains(e.Addrs, addr):
		case e.What == "no answer":
			return "no answer"
		case e.What == "answer":
			if !e.Full || !strings.Contains(e.Text, ": status 200 ") || strings.Contains(e.Text, chaosWrongSum) {
				return "no answer that could be read"
			}
		case e.What == "settled" || e.What == "asks":
			return ""
		}
	}
	return ""
}

// setBack reports whether less than 15 minutes seemed to pass from one request about an address to another one, by a clock that was set
// back between them. The first one counts as unanswered up to a minute later.
func (w *chaosWorld) setBack(addr string, from, to time.Time) bool {
	i, k := w.asks(addr, from), w.asks(addr, to)
	if i < 0 || k < 0 {
		return false
	}
	first, second := w.entries[i], w.entries[k]
	back := first.Clock.Sub(first.At) > second.Clock.Sub(second.At)
	return back && second.Clock.Sub(first.Clock) < chaosAgain+time.Minute
}

// asks returns which entry is the last request about an address up to a moment, -1 if there is none.
func (w *chaosWorld) asks(addr string, until time.Time) int {
	for i, e := range slices.Backward(w.entries) {
		if e.What == "asks" && !e.At.After(until) && slices.Contains(e.Addrs, addr) {
			return i
		}
	}
	return -1
}

// judgeWindow judges two reports about one address, one after the other: between them is a window. It may have been shorter where the
// machine's clock was set forward while tattled was down, which it cannot know.
func (w *chaosWorld) judgeWindow(first, second *chaosItem) {
	w.t.Helper()
	addr := second.Report.Addr.String()
	a, b := w.attackOf(addr, first.Report.Judged), w.attackOf(addr, second.Report.Judged)
	switch {
	case a == nil || b == nil:
		w.fault(addr, second, "it was judged at a time at which nobody attacked")
	case b.At.Sub(a.At) < chaosWindow && !w.setForward(addr, *a, *b):
		w.fault(addr, second, fmt.Sprintf("it was judged %v after the one before", b.At.Sub(a.At)))
	case b.At.Sub(a.At) < chaosWindow:
		w.sum["windows shortened by a clock that was set forward"]++
	default:
		w.sum["reports of a further window"]++
	}
}

// setForward reports whether a window seemed to have passed by the machine's clock from one attack of an address to another one, or from
// one between them: what began at a time to come begins anew when the clock is set back.
func (w *chaosWorld) setForward(addr string, from, to chaosEntry) bool {
	return slices.ContainsFunc(w.entries, func(e chaosEntry) bool {
		return e.What == "attack" && e.Addrs[0] == addr && !e.At.Before(from.At) && e.At.Before(to.At) && to.Clock.Sub(e.Clock) >= chaosWindow
	})
}

// attackOf returns the attack that was judged at a time of the machine's clock.
func (w *chaosWorld) attackOf(addr string, judged time.Time) *chaosEntry {
	for i := range w.entries {
		e := &w.entries[i]
		if e.What == "attack" && e.Addrs[0] == addr && e.Clock.Sub(judged).Abs() < 2*time.Millisecond {
			return e
		}
	}
	return nil
}

// fault fails the test with what happened to an address, in order.
func (w *chaosWorld) fault(addr string, item *chaosItem, what string) {
	w.t.Helper()
	var story strings.Builder
	for _, e := range w.entries {
		if slices.Contains(e.Addrs, addr) || e.What == "start" || e.What == "killed" || e.What == "stopped" || e.What == "faults" {
			fmt.Fprintf(&story, "  %s\n", e)
		}
	}
	for _, r := range w.double.Reports() {
		if r.IP == addr {
			fmt.Fprintf(&story, "  accepted %s: %s, first event %s\n", r.ReceivedAt.Format(time.DateTime), r.Comment, r.Timestamp)
		}
	}
	if item != nil {
		fmt.Fprintf(&story, "  in the end: %s %q, %d attempts, unanswered since %v\n", item.State, item.Detail, item.Attempts, item.UnansweredSince)
	}
	w.t.Errorf("world %d, uncertain: %s: %s: %s\n%s", w.number, w.uncertain, addr, what, story.String())
}
