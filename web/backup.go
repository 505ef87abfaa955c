package web

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// The bounds of a backup: as long as it is read, the state file grows with every change.
const (
	backupWrite = 10 * time.Second // for a client to take some of it
	backupLimit = 10 * time.Minute // for all of it
)

// serveBackup sends a copy of the state file. The client writes it where it may, which is more than the daemon can.
func (c *Control) serveBackup(w http.ResponseWriter, r *http.Request) {
	if c.hands.Backup == nil {
		fail(w, r, http.StatusNotFound, "There is nothing to back up here.")
		return
	}
	select {
	case c.backups <- struct{}{}:
		defer func() { <-c.backups }()
	default:
		w.Header().Set("Retry-After", "10")
		fail(w, r, http.StatusServiceUnavailable, "Another backup is being made.")
		return
	}
	began := false
	err := c.hands.Backup(func(size int64) io.Writer {
		began = true
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		return &paced{w: w, control: http.NewResponseController(w), over: time.Now().Add(backupLimit)}
	})
	switch {
	case err == nil:
	case began: // the client sees that it is cut off
		c.server.logger.Warn("a backup over the control socket was cut off", "error", err)
		panic(http.ErrAbortHandler)
	default:
		c.server.failStore(w, r, err)
	}
}

// paced writes an answer that may be long: each write has its own time limit, and all of it together one more.
type paced struct {
	w       io.Writer
	control *http.ResponseController
	over    time.Time
}

// Write implements io.Writer.
func (p *paced) Write(b []byte) (int, error) {
	now := time.Now()
	if now.After(p.over) {
		return 0, errors.New("the client took too long to read it")
	}
	if err := p.control.SetWriteDeadline(now.Add(backupWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}
