package bolt

import (
	"fmt"
	"os"
)

// Temporary makes an empty backend in a file of dir (os.TempDir for "") that has no name any more when it returns, so that nothing is
// left of it however the process ends. Nothing waits for the disk either: its pages are memory that the system can take back.
func Temporary(dir string, maxSize int64) (*Backend, error) {
	folder, err := os.MkdirTemp(dir, "tattled-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary store: %w", err)
	}
	defer os.RemoveAll(folder)
	path := folder + "/state.db"
	if err := createAt(path); err != nil {
		return nil, err
	}
	b, err := openDB(path, maxSize)
	if err != nil {
		return nil, fmt.Errorf("make a temporary store: %w", err)
	}
	b.db.NoSync, b.db.NoGrowSync = true, true
	return b, nil
}
