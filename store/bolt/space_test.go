package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	berrors "go.etcd.io/bbolt/errors"
)

// Only what came before anything could count is "no space": the same error from a sync leaves open what happened.
func TestNoSpace(t *testing.T) {
	write := func(e error) error { return &fs.PathError{Op: "write", Path: "state.db", Err: e} }
	for _, c := range []struct {
		err  error
		want bool
	}{
		{berrors.ErrMaxSizeReached, true},
		{fmt.Errorf("wrapped: %w", berrors.ErrMaxSizeReached), true},
		{write(syscall.ENOSPC), true},
		{write(syscall.EDQUOT), true},
		{write(syscall.EIO), false},
		{syscall.ENOSPC, false}, // fdatasync
		{syscall.EIO, false},
		{errors.New("file resize error: truncate state.db: " + syscall.EFBIG.Error()), true}, // bbolt does not wrap it
		{errors.New("file resize error: truncate state.db: " + syscall.EIO.Error()), false},
		{errors.New("file sync error: " + syscall.ENOSPC.Error()), false},
		{errors.New("no space left on device"), false},
	} {
		if got := noSpace(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
