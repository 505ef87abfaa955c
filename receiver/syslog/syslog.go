// Package syslog receives syslog from the network and from local daemons: UDP, TCP and a unix datagram socket. One
// Receiver is one listener. It turns what arrives into records with package wire, marks each with the trust that its way
// in deserves, and hands them on in batches of what one read brought. It knows no rule, resolves no name and logs no line.
// The daemon makes one for each entry under `sources.syslog`.
//
//	UDP, unix  recvmmsg, up to 64 datagrams ────────────┐
//	TCP        accept ─ a goroutine a connection: peek ─┴─ wire.Framer ─ wire.Parser ─ Batch ─ Handle
//
// A header that wire.Parser does not know is shown to go-syslog's parsers (see opinion).
//
// Every peer is taken for hostile. What one connection can hold is bounded (nothing while it is idle: the beginning of a
// record waits in the kernel), how many there are is bounded, and when there are too many, the longest silent one of the
// address with the most makes room. A connection that speaks another protocol is closed before any of it becomes a record,
// and so is one whose counted frames got out of step.
//
// # Trust
//
// What may lead to a report is decided by the way in: a listener's configuration, where the peer of a connection is, and
// which user writes to a unix socket. One datagram is one record, so that a line feed in a stranger's text begins no other.
//
// # Connections that outlive the process
//
// A TCP connection that sent a whole record is kept in systemd's file descriptor store (Passed.Keeper). It is taken back
// when the peer or a limit ends it. When the process stops or dies it stays, with what the kernel holds for it and for
// the listener, and the next process goes on reading it; the peer notices nothing. What holds:
//
//   - Records are discarded from the kernel after Handle returned. One whose Handle did not return is read again; one that
//     was handled and not yet discarded when the process was killed is handled twice. No record is lost between the two.
//     What Handle has taken and not yet committed is lost by a kill: a stream cannot rewind.
//   - A record may be half there. Its beginning waits in the kernel, or, where that had to give it up, in a memory file
//     that is kept with the connection and says which bytes of the stream it has. See memo: killed between any two steps,
//     no record is torn, glued or doubled by it.
//   - How the stream is framed is in the connection's name in the store, so that no text can pass for a record
//     because somebody begins to read in the middle of it.
//   - A connection that stands in the middle of a record longer than max_line is not kept, because the next reader could not
//     tell where it ends. When the process stops just then, the connection is closed; and so it is when systemd does not
//     take its removal in time.
//   - A connection that sent nothing, or only the beginning of its first record, is not kept while the process runs, so
//     that a flood of them costs systemd nothing. When the process stops, those that sent something are.
package syslog

import (
	"context"
	"fmt"
	"net"
	"time"

	"tattled/receiver"
)

// Receiver is one listener. It implements receiver.Receiver.
type Receiver struct {
	cfg    Config
	at     place
	loc    *time.Location
	meter  receiver.Meter
	second opinion

	// One of these, by cfg.Listen.
	udp  *net.UDPConn
	tcp  *net.TCPListener
	unix *unixSocket

	passed bool // the socket came from systemd

	keeper  keeper      // of accepted connections; nil if there is none
	resumed []*keptConn // what the process before this one left of them
}

// New opens the socket of one listener, or takes it from passed, which may be nil, with the connections that an earlier
// process accepted from it. It starts nothing.
func New(cfg Config, passed *Passed) (*Receiver, error) {
	var fault error
	cfg.Check(func(path, problem string) {
		if fault == nil {
			fault = fmt.Errorf("syslog listener %s: %s: %s", cfg.Listen, path, problem)
		}
	})
	if fault != nil {
		return nil, fault
	}
	r := &Receiver{cfg: cfg.withDefaults()}
	r.at, _ = parseListen(cfg.Listen)
	r.loc, _ = cfg.location()
	if err := r.open(passed); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	return r, nil
}

// Source implements receiver.Receiver: it is the listener's address as the configuration has it.
func (r *Receiver) Source() string { return r.cfg.Listen }

// Meter implements receiver.Receiver.
func (r *Receiver) Meter() *receiver.Meter { return &r.meter }

// SecondOpinions tells how often go-syslog's parsers were asked about a record whose header ours did not know, how often
// they knew it, and how often they panicked over it.
func (r *Receiver) SecondOpinions() (asked, known, panicked uint64) {
	return r.second.asked.Load(), r.second.known.Load(), r.second.panicked.Load()
}

// Addr returns the address that the listener has, with the port that the system chose if the configuration says 0.
func (r *Receiver) Addr() net.Addr {
	switch {
	case r.udp != nil:
		return r.udp.LocalAddr()
	case r.tcp != nil:
		return r.tcp.Addr()
	default:
		return &net.UnixAddr{Name: r.at.path, Net: "unixgram"}
	}
}

// Run implements receiver.Receiver. Syslog has no positions to resume from. The socket is closed when it returns; a copy
// that systemd holds keeps taking datagrams and connections for the next start. Accepted connections that are kept stay open
// when ctx ended or the handler failed.
func (r *Receiver) Run(ctx context.Context, _ receiver.Positions, h receiver.Handler) error {
	switch {
	case r.udp != nil:
		return r.runDatagrams(ctx, r.udp, h)
	case r.tcp != nil:
		return r.runTCP(ctx, h)
	default:
		return r.unix.run(ctx, r, h)
	}
}
