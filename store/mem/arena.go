package mem

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"tattled/store"
)

// arena keeps values in a file that is mapped into memory and has no name, so that the system can write them out where memory is
// short, and nothing is left of them when the process ends. Places are given out by size; one that was given back is used again for
// a value of about its size. One goroutine uses it at a time.
type arena struct {
	file  *os.File
	parts [][]byte
	used  int               // of the last part
	free  [classes][][]byte // places that were given back
}

const (
	partSize = 8 << 20
	// Values up to fine bytes have places of a multiple of step; larger ones, up to most, of a multiple of coarse. What is larger
	// still, which next to nothing is, is the heap's.
	step    = 16
	fine    = 1024
	coarse  = 256
	most    = 16 << 10
	classes = fine/step + (most-fine)/coarse + 1
)

// newArena makes one in a folder, "" for the system's.
func newArena(folder string) (*arena, error) {
	f, err := os.CreateTemp(folder, "tattled-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	return &arena{file: f}, nil
}

// classOf returns which places are for a size, and how large these are.
func classOf(size int) (class, place int) {
	if size <= fine {
		class = (size + step - 1) / step
		return class, class * step
	}
	class = (size - fine + coarse - 1) / coarse
	return fine/step + class, fine + class*coarse
}

// keep copies a value, which is not empty.
func (a *arena) keep(value []byte) ([]byte, error) {
	if len(value) > most {
		return append([]byte(nil), value...), nil
	}
	class, size := classOf(len(value))
	if n := len(a.free[class]); n > 0 {
		place := a.free[class][n-1]
		a.free[class] = a.free[class][:n-1]
		return place[:copy(place[:len(value)], value)], nil
	}
	if len(a.parts) == 0 || a.used+size > partSize {
		if err := a.grow(); err != nil {
			return nil, err
		}
	}
	place := a.parts[len(a.parts)-1][a.used : a.used+len(value) : a.used+size]
	a.used += size
	copy(place, value)
	return place, nil
}

// grow adds a part. Its blocks are taken at once: a file system that is full must not fail a write to memory.
func (a *arena) grow() error {
	at := int64(len(a.parts)) * partSize
	if err := unix.Fallocate(int(a.file.Fd()), 0, at, partSize); err != nil {
		return fmt.Errorf("%w: %d bytes of a temporary file: %w", store.ErrFull, at+partSize, err)
	}
	part, err := unix.Mmap(int(a.file.Fd()), at, partSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map a temporary file: %w", err)
	}
	a.parts, a.used = append(a.parts, part), 0
	return nil
}

// giveBack takes back the place of a value that nobody looks at any more.
func (a *arena) giveBack(value []byte) {
	if n := cap(value); n <= most && n > 0 {
		if class, size := classOf(n); size == n {
			a.free[class] = append(a.free[class], value[:0:n])
		}
	}
}

func (a *arena) close() error {
	var first error
	for _, part := range a.parts {
		if err := unix.Munmap(part); err != nil && first == nil {
			first = err
		}
	}
	a.parts = nil
	if err := a.file.Close(); err != nil && first == nil {
		first = err
	}
	return first
}
