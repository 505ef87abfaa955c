package tail

import (
	"context"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
)

// Shared is what the receivers of several entries know together: who reads which file, so that a file that has several
// names is read once, and where reading ended in those that were closed. It is safe for concurrent use.
type Shared struct {
	mu       sync.Mutex
	held     map[fileID]holder
	finished []mark // the last files that were closed, to know them again under another name

	missing int           // receivers that have not taken up their files again yet
	resumed chan struct{} // closed when there are none
}

// fileID is what makes two names one file.
type fileID struct{ device, inode uint64 }

type holder struct {
	receiver *Receiver
	follower *follower
}

// NewShared returns a Shared that knows of no file.
func NewShared() *Shared {
	return &Shared{held: map[fileID]holder{}, resumed: make(chan struct{})}
}

func idOf(info os.FileInfo) fileID {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev has another type on other architectures
	}
	return fileID{}
}

// join adds a receiver that others wait for.
func (s *Shared) join() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing++
}

// await says that a receiver has taken up the files that it read before, and waits until all have: else one could take
// a file that another has a position in.
func (s *Shared) await(ctx context.Context) {
	s.mu.Lock()
	if s.missing--; s.missing == 0 {
		close(s.resumed)
	}
	s.mu.Unlock()
	select {
	case <-s.resumed:
	case <-ctx.Done():
	}
}

// claim makes fl the one that reads a file, and reports whether it is.
func (s *Shared) claim(id fileID, h holder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, held := s.held[id]; held && other != h {
		return false
	}
	s.held[id] = h
	return true
}

// release gives a file up that was read up to m.
func (s *Shared) release(id fileID, m mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, id)
	if m.offset == 0 {
		return
	}
	if len(s.finished) == MaxFiles {
		s.finished = slices.Delete(s.finished, 0, MaxFiles/10)
	}
	s.finished = append(s.finished, m)
}

// holder returns who reads a file.
func (s *Shared) holder(id fileID) (h holder, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, held = s.held[id]
	return h, held
}

// mark finds out where reading ended in a file that was closed, perhaps under another name.
func (s *Shared) mark(f io.ReaderAt, info os.FileInfo) (mark, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lastFitting(s.finished, f, info)
}

// lastFitting returns the last of marks that f fits.
func lastFitting(marks []mark, f io.ReaderAt, info os.FileInfo) (mark, bool) {
	for _, m := range slices.Backward(marks) {
		if m.inode == inode(info) && m.offset > 0 && m.offset <= info.Size() && m.print.fits(f) {
			return m, true
		}
	}
	return mark{}, false
}

// has reports whether there is such a mark of a file that was closed.
func (s *Shared) has(such func(mark) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.finished, such)
}
