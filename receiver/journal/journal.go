// Package journal follows the systemd journal. It is started by daemon, from sources.journal; cmd/tattled-journal is its
// other half.
//
// It does not map journal files itself: whoever does so dies with SIGBUS when journald cuts one short (systemd before 255
// does so on vacuuming). A child process does, tattled-journal or journalctl, and writes the journal export format to a
// pipe. It may die at any instant: what came after its last position is forgotten, and the next child reads it again.
//
//	journal files -> tattled-journal | journalctl -> pipe -> parser -> Batch -> Handle
package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

const (
	source  = "journal"
	ownUnit = "tattled.service"

	firstPause = 100 * time.Millisecond
	mostPause  = 30 * time.Second
)

// Receiver follows the journal.
type Receiver struct {
	config     Config
	log        *slog.Logger
	helper     string // "" if there is none
	journalctl string // "" if there is none
	stream     string
	meter      receiver.Meter
	trouble    atomic.Pointer[trouble] // why no child reads, nil while one does
	begun      atomic.Int64            // when the child that runs was started, Unix nanoseconds; 0 while none runs

	// What follows belongs to Run.
	handler  receiver.Handler
	position []byte // libsystemd's cursor of the entry after which the next child begins
	breaks   breaks // as of position
	fault    string // what was last logged, "" while all is well
	handed   bool   // this child brought something
	refused  error  // the handler's error
	pid      []byte
	childPID []byte
	kernel   []byte
	headers  *wire.Parser // of lines of containers
	records  []receiver.Record
	cursor   []byte // lent with a batch
	batch    receiver.Batch

	started func(pid int) // tests: a child was started
}

// New makes a receiver. It looks for the programs that can read the journal, and fails if there is none, or if the one
// that is configured is none. Whether there is a journal shows in Run.
func New(c Config) (*Receiver, error) {
	var faults []error
	c.Check(func(path, problem string) { faults = append(faults, fmt.Errorf("%s %s", path, problem)) })
	if len(faults) > 0 {
		return nil, fmt.Errorf("follow the journal: %w", errors.Join(faults...))
	}
	r := &Receiver{config: c, stream: c.stream(), log: c.Logger, pid: pidOf(os.Getpid()), kernel: []byte("kernel"), headers: wire.NewParser(nil)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if r.helper, err = findHelper(c.Helper); err != nil {
		return nil, fmt.Errorf("follow the journal: %w", err)
	}
	r.journalctl, _ = exec.LookPath("journalctl")
	if r.helper == "" && r.journalctl == "" {
		return nil, errors.New("follow the journal: there is neither tattled-journal nor journalctl: install one of them, or remove sources.journal")
	}
	return r, nil
}

// Source returns "journal".
func (r *Receiver) Source() string { return source }

// Meter returns the receiver's counters. A Gap is a place where entries were vacuumed before they were read, or where
// journald says that it suppressed or missed messages; Open is 1 while a child reads; Errors are children that died.
func (r *Receiver) Meter() *receiver.Meter { return &r.meter }

// Run follows the journal until ctx ends or the handler fails. The journal, or the directory that is configured, is one
// stream. A journal that is absent or may not be read, and a child that dies, is counted and tried again, after at most
// half a minute.
func (r *Receiver) Run(ctx context.Context, from receiver.Positions, h receiver.Handler) error {
	r.handler = h
	cursor, marks, err := parsePosition(from.Position(r.stream))
	r.position, r.breaks = []byte(cursor), marks
	if err != nil || len(r.position) > 0 && !isCursor(r.position) {
		r.position, r.breaks = nil, nil
		r.meter.Gaps.Add(1)
		r.log.Warn("the journal's position is damaged: reading starts as if it had never been read", "stream", r.stream)
	}
	first := start{}
	if r.config.Since > 0 {
		first.since = time.Now().Add(-r.config.Since.D())
	}
	begun := time.Now()
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		begin := first
		if len(r.position) > 0 {
			begin = start{cursor: string(r.position)}
		}
		err := r.follow(ctx, begin)
		switch {
		case ctx.Err() != nil:
			return nil
		case r.refused != nil:
			return fmt.Errorf("follow the journal: %w", r.refused)
		}
		if r.handed {
			pause, r.fault = firstPause, ""
		}
		r.meter.Errors.Add(1)
		r.failed(err)
		if text := err.Error(); text != r.fault {
			r.fault = text
			r.log.Warn("cannot follow the journal: it is tried again", "error", err)
		}
		if first.since.IsZero() { // what comes while no child can read comes after the start
			first.since = begun
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// follow lets one child read until it ends.
func (r *Receiver) follow(ctx context.Context, from start) error {
	r.handed = false
	useHelper := r.helper != ""
	path, args := r.journalctl, []string(nil)
	if useHelper {
		path, args = r.helper, r.config.helperArguments(from)
	} else {
		args = r.config.journalctlArguments(from)
	}
	c, err := startChild(ctx, path, args)
	if err != nil {
		r.giveUpHelper(useHelper, err)
		return err
	}
	r.meter.Open.Add(1)
	r.began()
	defer r.meter.Open.Add(-1)
	defer r.ended()
	r.childPID = pidOf(c.cmd.Process.Pid)
	if r.started != nil {
		r.started(c.cmd.Process.Pid)
	}
	p := newParser(c.out, func(p *parser) error { return r.take(ctx, p) })
	if !useHelper && from.cursor != "" {
		p.skipTo = []byte(from.cursor)
	}
	err = p.run()
	ended := c.end()
	if err != nil { // it was killed for what it wrote
		return fmt.Errorf("what %s wrote: %w", path, err)
	}
	if c.unable() && !r.handed {
		r.giveUpHelper(useHelper, ended)
	}
	return ended
}

// giveUpHelper turns to journalctl, if there is one, because the helper cannot be started or says that it never will read.
func (r *Receiver) giveUpHelper(usedHelper bool, err error) {
	if usedHelper && r.journalctl != "" {
		r.helper = ""
		r.log.Warn("the journal is read through journalctl, which costs more", "error", err)
	}
}

// take makes a batch of the entries up to p's position and hands it over.
func (r *Receiver) take(ctx context.Context, p *parser) error {
	var bytes, cut, own, empty uint64
	gaps := uint64(p.gaps)
	received := time.Now()
	r.records = r.records[:0]
	for i := range p.entries[:p.placed] {
		e := &p.entries[i]
		bytes += uint64(e.size)
		trust := r.trust(p, e)
		if e.cut = r.breaks.broken(p, e, trust == event.TrustReport) || e.cut; e.cut {
			cut++
		}
		message := p.value(e, Message)
		switch {
		case r.isOwn(p, e):
			own++
			continue
		case wire.Blank(message):
			empty++
			continue
		case lost(p, e):
			gaps++
		}
		r.records = append(r.records, receiver.Record{})
		record := &r.records[len(r.records)-1]
		record.Trust = trust
		if r.fill(record, p, e); ofEngine(p, e) {
			r.contained(record, p, e, received)
		}
	}
	m := &r.meter
	m.Records.Add(uint64(p.placed))
	m.Bytes.Add(bytes)
	m.Cut.Add(cut)
	m.Gaps.Add(gaps)
	m.Skipped.Add(own)
	m.Drop(receiver.Empty, empty)

	// Where the stream begins is committed at once, without a record: else what comes before the next start would be too old
	// for that. Other positions wait for a record.
	begins := p.placed == 0 && len(r.position) == 0
	if len(r.records) > 0 || begins {
		r.cursor = appendPosition(r.cursor[:0], p.cursor, r.breaks)
		r.batch = receiver.Batch{
			Source: source, Reporter: r.config.Reporter, Received: received,
			Records: r.records, Stream: r.stream, Cursor: r.cursor,
		}
		if r.refused = r.handler.Handle(ctx, &r.batch); r.refused != nil {
			return r.refused
		}
	}
	r.position = append(r.position[:0], p.cursor...)
	r.handed, r.fault = true, ""
	r.trouble.Store(nil)
	return nil
}

// isOwn reports whether tattled wrote an entry itself: its unit, or this process or its child. By the trusted fields, as who
// could pass for us could hide; and a process's number alone says nothing, as it was another's before.
func (r *Receiver) isOwn(p *parser, e *entry) bool {
	if string(p.value(e, SystemdUnit)) == ownUnit {
		return true
	}
	pid := p.value(e, PID)
	return len(pid) > 0 && (bytes.Equal(pid, r.pid) || bytes.Equal(pid, r.childPID)) &&
		bytes.HasPrefix(p.value(e, Comm), []byte(OwnName))
}

// lost reports whether journald says in an entry that it lost others: "Suppressed 12 messages from ssh.service", by its
// rate limit (RateLimitBurst= in journald.conf), and "Missed 3 kernel messages".
func lost(p *parser, e *entry) bool {
	return suppressed(p, e) || journaldSays(p, e, "Missed ")
}

func suppressed(p *parser, e *entry) bool { return journaldSays(p, e, "Suppressed ") }

// journaldSays reports whether an entry is journald's own and begins with text.
func journaldSays(p *parser, e *entry, text string) bool {
	return string(p.value(e, Transport)) == "driver" && bytes.HasPrefix(p.value(e, Message), []byte(text))
}

// fill makes a record of an entry, all but its trust.
func (r *Receiver) fill(record *receiver.Record, p *parser, e *entry) {
	get := func(f Field) []byte { return p.value(e, f) }
	record.Message, record.Cut = get(Message), e.cut
	record.Host = get(Hostname)
	record.Program = get(Identifier)
	transport := get(Transport)
	switch {
	case string(transport) == "kernel":
		record.Program = r.kernel
	case record.Program == nil:
		record.Program = get(Comm)
	}
	if string(transport) == "stdout" || len(transport) == 0 && len(get(StreamID)) > 0 { // collected journals may lack fields
		record.Framing = receiver.OutLine
	}
	if record.PID = get(SyslogPID); !isPID(record.PID) {
		if record.PID = get(PID); !isPID(record.PID) {
			record.PID = nil
		}
	}
	if record.Time = microseconds(get(SourceTime)); record.Time.IsZero() {
		record.Time = microseconds(get(EntryTime))
	}
}

// trust says what may follow from an entry.
func (r *Receiver) trust(p *parser, e *entry) event.Trust {
	switch {
	case ofEngine(p, e):
		if r.config.namesContainer(p.value(e, ContainerName)) {
			return event.TrustReport
		}
	case trusted(p, e) || r.config.Directory != "" && believed(p, e):
		return event.TrustReport
	}
	return event.TrustCount
}
