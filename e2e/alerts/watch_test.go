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

// fires says whether an alert has fired, and ends whether it has and does no more.
func fires(w *watcher, name string) bool {
	_, ok := w.fired[name]
	return ok
}

func ends(w *watcher, name string) bool {
	_, now := w.now[name]
	return !now && fires(w, name)
}

// await waits until it is so with each fault, and says when it was.
func (w *watcher) await(faults []fault, so func(*watcher, string) bool) {
	w.t.Helper()
	left := faults
	for len(left) > 0 {
		var missing []string
		for _, f := range left {
			missing = append(missing, f.name())
		}
		within(w.t, 90*time.Second, strings.Join(missing, ", "), func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			var next []fault
			for _, f := range left {
				if !so(w, f.name()) {
					next = append(next, f)
					continue
				}
				w.say(f)
			}
			done := len(next) < len(left)
			left = next
			return done
		})
	}
}

// say logs what an alert has done so far.
func (w *watcher) say(f fault) {
	name := f.name()
	if _, now := w.now[name]; !now {
		w.t.Logf("%-22s fired at %4.1f s, ended by %4.1f s: %s", f.alert, w.fired[name].Seconds(), time.Since(w.began).Seconds(), f.what)
	} else if d := w.said[name]; d == "" || strings.Contains(d, "<no value>") || strings.Contains(d, "error expanding") {
		w.t.Errorf("%s is described as %q", name, d)
	}
}
