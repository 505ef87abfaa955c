package alerts

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// watcher sees every alert, however short: some look at so little time that they are over before all faults of a round are made.
type watcher struct {
	t     *testing.T
	began time.Time

	mu    sync.Mutex
	fired map[string]time.Duration // when each fired first
	said  map[string]string        // its description then
	now   map[string]string
}

// watch looks at the alerts of p until the test ends.
func watch(t *testing.T, p *prometheus) *watcher {
	t.Helper()
	w := &watcher{t: t, began: time.Now(), fired: map[string]time.Duration{}, said: map[string]string{}}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			w.look(p)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return w
}

func (w *watcher) look(p *prometheus) {
	now, err := p.firing()
	if err != nil { // at the end of the test
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
	for name, description := range now {
		if _, known := w.fired[name]; !known {
			w.fired[name], w.said[name] = time.Since(w.began), description
		}
	}
}

// firing returns what fires now.
func (w *watcher) firing() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// forget lets an alert of an earlier round fire again.
func (w *watcher) forget(faults []fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range faults {
		if _, now := w.now[f.name()]; !now {
			delete(w.fired, f.name())
		}
	}
}

// await waits until each alert has fired, or also has ended.
func (w *watcher) await(faults []fault, ended bool) {
	w.t.Helper()
	for left := faults; len(left) > 0; {
		var names []string
		for _, f := range left {
			names = append(names, f.name())
		}
		again := time.Now().Add(20 * time.Second)
		within(w.t, 90*time.Second, strings.Join(names, ", "), func() bool {
			if !ended && time.Now().After(again) {
				again = time.Now().Add(20 * time.Second)
				makeAgain(left)
			}
			rest := w.rest(left, ended)
			done := len(rest) < len(left)
			left = rest
			return done
		})
	}
}

// makeAgain makes those that pass.
func makeAgain(faults []fault) {
	for _, f := range faults {
		if f.passes() {
			f.make()
		}
	}
}

// rest returns the faults whose alerts have not fired, or not ended, and says of the others what they did.
func (w *watcher) rest(faults []fault, ended bool) (rest []fault) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range faults {
		at, fired := w.fired[f.name()]
		_, now := w.now[f.name()]
		switch d := w.said[f.name()]; {
		case !fired || ended && now:
			rest = append(rest, f)
		case ended:
			w.t.Logf("%-22s fired at %4.1f s, ended by %4.1f s: %s", f.alert, at.Seconds(), time.Since(w.began).Seconds(), f.what)
		case d == "" || strings.Contains(d, "<no value>") || strings.Contains(d, "error expanding"):
			w.t.Errorf("%s is described as %q", f.name(), d)
		}
	}
	return rest
}
