package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"tattled/event"
)

// The bounds of an event stream.
const (
	usualMissed = 1000  // missed events that a client gets, unless it asks for more or less
	mostMissed  = 10000 // that it may ask for
	atOnce      = 500   // events read and written at once
)

// pace has the times of an event stream.
type pace struct {
	events    time.Duration // least time between two batches of new events
	status    time.Duration // between two looks whether the status changed
	heartbeat time.Duration // a comment is sent when nothing else was for so long, so that proxies keep the connection
	write     time.Duration // a client that does not take a write in this time is cut
}

func usualPace() pace {
	return pace{events: 250 * time.Millisecond, status: 2 * time.Second, heartbeat: 15 * time.Second, write: 10 * time.Second}
}

// serveStream sends events as they come, as Server-Sent Events (WHATWG HTML, section 9.2), and every two seconds the
// status if it changed. An event's id is its seq: a client that comes back with Last-Event-ID (or for the first time with
// ?after=) gets first what it missed, at most ?limit= of the newest, and is told how many were left out. The same holds
// for one that reads more slowly than events come. With parameters of a filter it gets those events alone that fit. The messages:
//
//	event: event    id: seq     an Event
//	event: skipped  id: seq     {"skipped": n}: so many events up to this seq are not sent
//	event: reset    id: 0       the numbering began anew (another state file): what was sent before is no more
//	event: status               a statusView, for the page's script
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	limit, ok := number(w, r, "limit", usualMissed, 1, mostMissed)
	if !ok {
		return
	}
	after, ok := s.resume(w, r)
	if !ok {
		return
	}
	f, ok := s.askFilter(w, r)
	if !ok {
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	c, ok := s.feed.join()
	if !ok {
		w.Header().Set("Retry-After", "10")
		fail(w, r, http.StatusServiceUnavailable, "Too many event streams are open.")
		return
	}
	st := &stream{s: s, w: w, control: http.NewResponseController(w), client: c, after: after, limit: limit, filter: f}
	err := st.run(r.Context())
	s.feed.leave(c, errors.Is(err, os.ErrDeadlineExceeded))
	if errors.Is(err, errRead) {
		s.logger.Warn("an event stream was ended", "error", err)
	}
}

// resume finds where the client stopped. Without a word of it, the client begins with what comes next.
func (s *Server) resume(w http.ResponseWriter, r *http.Request) (after uint64, ok bool) {
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		after, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			fail(w, r, http.StatusBadRequest, "Last-Event-ID must be the id of an event.")
		}
		return after, err == nil
	}
	return number(w, r, "after", s.feed.newest(), 0, 1<<63)
}

// errRead marks a stream that ended because the daemon's side failed and not the client.
var errRead = errors.New("read for an event stream")

// stream is the sending side of one event stream.
type stream struct {
	s       *Server
	w       http.ResponseWriter
	control *http.ResponseController
	client  *client
	after   uint64 // the newest event that the client has or was told to do without
	limit   uint64
	filter  *filter
	status  []byte // as sent last
	out     bytes.Buffer

	heartbeat *time.Timer // runs out when nothing was sent for long
}

// run sends until ctx ends or the client is gone or too slow.
func (st *stream) run(ctx context.Context) error {
	st.heartbeat = time.NewTimer(st.s.pace.heartbeat)
	defer st.heartbeat.Stop()
	status := time.NewTicker(st.s.pace.status)
	defer status.Stop()
	if err := st.begin(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		more, err := st.sendEvents()
		if err == nil && !more {
			err = st.wait(ctx, status.C)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin answers the request.
func (st *stream) begin() error {
	st.w.Header().Set("Content-Type", "text/event-stream")
	// All of the request is here: the server's limit on reading one must not end the stream.
	if err := st.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	st.out.WriteString("retry: 2000\n\n")
	if st.after > st.s.feed.newest() {
		st.after = 0
		st.out.WriteString("event: reset\nid: 0\ndata: {}\n\n")
	}
	return st.sendStatus()
}

// wait returns when there may be new events or ctx ended, and not before the client had a rest. Meanwhile it sends the
// status and keeps the connection alive.
func (st *stream) wait(ctx context.Context, status <-chan time.Time) error {
	var wake <-chan struct{}
	rest := time.NewTimer(st.s.pace.events)
	defer rest.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
			return nil
		case <-rest.C:
			wake = st.client.wake
		case <-status:
			err = st.sendStatus()
		case <-st.heartbeat.C:
			st.out.WriteString(":\n\n")
			err = st.flush()
		}
		if err != nil {
			return err
		}
	}
}

// sendEvents sends the next events that the client has not; more says that there may be others right behind.
func (st *stream) sendEvents() (more bool, err error) {
	newest := st.s.feed.newest()
	if newest <= st.after {
		return false, nil
	}
	from := st.after
	if newest-from > st.limit {
		from = newest - st.limit
	}
	batch, whole := st.s.feed.after(from, atOnce)
	if !whole {
		stored, err := st.s.deps.Store.Events(from, atOnce)
		if err != nil {
			return false, fmt.Errorf("%w: %w", errRead, err)
		}
		if len(stored) > 0 { // none: all that is older than the ring was dropped
			batch = stored
		}
	}
	if skipped := batch[0].Seq - st.after - 1; skipped > 0 {
		fmt.Fprintf(&st.out, "event: skipped\nid: %d\ndata: {\"skipped\":%d}\n\n", batch[0].Seq-1, skipped)
	}
	for i := range batch {
		if st.filter.fits(&batch[i]) {
			st.write(&batch[i])
		}
	}
	st.after = batch[len(batch)-1].Seq
	return st.after < newest, st.flush()
}

func (st *stream) write(e *event.Event) {
	data, err := encode(viewEvent(e))
	if err != nil {
		return // a time beyond the year 9999: there is no way to write it
	}
	fmt.Fprintf(&st.out, "event: event\nid: %d\ndata: %s\n", e.Seq, data) // which ends with a line end
}

func (st *stream) sendStatus() error {
	_, text, err := st.s.current()
	if err != nil {
		return fmt.Errorf("%w: %w", errRead, err)
	}
	if !bytes.Equal(text, st.status) {
		st.status = text
		fmt.Fprintf(&st.out, "event: status\ndata: %s\n\n", text)
	}
	return st.flush()
}

// flush sends what was written. It fails when the client does not take it in time.
func (st *stream) flush() error {
	if st.out.Len() == 0 {
		return nil
	}
	if err := st.control.SetWriteDeadline(time.Now().Add(st.s.pace.write)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err := st.w.Write(st.out.Bytes())
	if err == nil {
		err = st.control.Flush()
	}
	st.out.Reset()
	st.heartbeat.Reset(st.s.pace.heartbeat)
	return err
}
