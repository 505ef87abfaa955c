package tail

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxWatches bounds how many folders are watched; what happens in others is seen within a second.
const maxWatches = 64

// watch says when to look at which paths: at each of them once a second, and at one at once when inotify tells of it. It
// works without inotify too, which may be out of watches.
type watch struct {
	all     bool // look at every path
	touched map[*follower]struct{}

	next    time.Time // for the next look at every path
	watcher *fsnotify.Watcher
	done    sync.WaitGroup
	wake    chan struct{}

	mu     sync.Mutex
	byName map[string]*follower // path, and what it is a link to
	dirty  map[*follower]struct{}
}

func newWatch() *watch {
	w := &watch{all: true, wake: make(chan struct{}, 1), dirty: map[*follower]struct{}{}, touched: map[*follower]struct{}{}}
	var err error
	if w.watcher, err = fsnotify.NewWatcher(); err != nil {
		w.watcher = nil
		return w
	}
	w.done.Go(w.gather)
	return w
}

func (w *watch) close() {
	if w.watcher != nil {
		w.watcher.Close()
		w.done.Wait()
	}
}

// gather takes events as they come, so that the kernel's queue does not overflow. If it does, the next look at everything
// makes up for it.
func (w *watch) gather() {
	for {
		select {
		case e, ok := <-w.watcher.Events:
			if !ok {
				return
			}
			w.mu.Lock()
			fl := w.byName[e.Name]
			if fl != nil {
				w.dirty[fl] = struct{}{}
			}
			w.mu.Unlock()
			if fl == nil {
				continue
			}
			select {
			case w.wake <- struct{}{}:
			default:
			}
		case _, ok := <-w.watcher.Errors:
			if !ok {
				return
			}
		}
	}
}

// follow watches the folders of all paths, and dir, where new ones may appear.
func (w *watch) follow(followers []*follower, dir string) {
	if w.watcher == nil {
		return
	}
	names, dirs := make(map[string]*follower, len(followers)), map[string]struct{}{dir: {}}
	for _, fl := range followers {
		for _, name := range namesOf(fl) {
			names[name] = fl
			if len(dirs) < maxWatches {
				dirs[filepath.Dir(name)] = struct{}{}
			}
		}
	}
	w.mu.Lock()
	w.byName = names
	w.mu.Unlock()
	for dir := range dirs {
		_ = w.watcher.Add(dir) // nothing happens if it is watched; if it cannot be, the look each second does
	}
}

// namesOf returns the path and, if it is a link, what it leads to.
func namesOf(fl *follower) []string {
	if info, err := os.Lstat(fl.path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return []string{fl.path}
	}
	return names(fl.path)
}

// wait waits until there is something to look at, which may be at once, and says in w.all and w.touched what.
func (w *watch) wait(ctx context.Context, every time.Duration) {
	if w.all {
		w.all, w.next = false, time.Now().Add(every)
	}
	if len(w.touched) == 0 {
		timer := time.NewTimer(time.Until(w.next))
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.wake:
			timer.Reset(min(pause, time.Until(w.next)))
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
	}
	w.all = !time.Now().Before(w.next)
	w.mu.Lock()
	for fl := range w.dirty {
		w.touched[fl] = struct{}{}
	}
	clear(w.dirty)
	w.mu.Unlock()
}

// vanished reports whether there is nothing at path. While its folder cannot be read, nobody knows.
func vanished(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
