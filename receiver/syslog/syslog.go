// Package syslog receives syslog from the network and from local daemons: UDP, TCP and a unix datagram socket. One
// Receiver is one listener. It turns what arrives into records with package wire, marks each with the trust that its way
// in deserves, and hands them on in batches of what one read brought. It knows no rule, resolves no name and logs no line.
// The daemon makes one for each entry under `sources.syslog`.
//
//	UDP, unix  recvmmsg, up to 64 datagrams ──────────────────────────┐
//	TCP        accept ─ a goroutine a connection: peek ─ wire.Framer ─┴─ ring ─ wire.Parser ─ Batch ─ Handle
//
// A header that wire.Parser does not know is shown to go-syslog's parsers (see fallback).
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
// # Connections that survive the process
//
// A TCP connection that sent a whole record is kept in systemd's file descriptor store (Passed.Keeper). It is taken back
// when the peer or a limit ends it. When the process stops or dies it stays, with what the kernel holds for it and for
// the listener, and the next process goes on reading it; the peer notices nothing. What holds:
//
//   - Records are in the ring (see spool) before the kernel discards them, and Handle gets them after that. Where the process
//     is killed, the next one reads from the ring what was not committed, and has the kernel discard what is in the ring. No
//     record is lost or comes twice. Without a ring, records are discarded after Handle returned, and what Handle has taken
//     and not yet committed is lost by a kill.
//   - A record may be half there. Its beginning waits in the kernel, or, where that had to give it up, in a memory file
//     that is kept with the connection and says which bytes of the stream it has. See spill: killed between any two steps,
//     no record is torn, glued or doubled by it.
//   - How the stream is framed is in the connection's name in the store, so that no text can pass for a record
//     because somebody begins to read in the middle of it.
//   - A connection that is in the middle of a record longer than max_line is not kept, because the next reader could not
//     know where it ends. When the process stops just then, the connection is closed; and so it is when systemd does not
//     take its removal in time.
//   - A connection that sent nothing, or only the beginning of its first record, is not kept while the process runs, so
//     that a flood of them costs systemd nothing. When the process stops, those that sent something are.
package syslog

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"tattled/receiver"
)

// Receiver is one listener. It implements receiver.Receiver.
type Receiver struct {
	cfg    Config
	at     endpoint
	loc    *time.Location
	meter  receiver.Meter
	second fallback

	strangers refusals
	peers     peerList
	senders   recently // of datagrams, where allow names somebody

	// One of these, by cfg.Listen.
	udp  *net.UDPConn
	tcp  *net.TCPListener
	unix *unixListener

	passed bool // the socket came from systemd

	keeper  keeper      // of accepted connections; nil if there is none
	resumed []*keptConn // what the process before this one left of them

	left  *os.File // the ring of the process before this one; nil if there is none
	spool *spool   // of this life; nil if nobody keeps a ring
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

// Run implements receiver.Receiver. The socket is closed when it returns; a copy that systemd holds keeps taking datagrams
// and connections for the next start. Accepted connections that are kept stay open when ctx ended or the handler failed.
func (r *Receiver) Run(ctx context.Context, from receiver.Positions, h receiver.Handler) error {
	if r.spool = r.openSpool(from); r.spool != nil {
		defer r.spool.close()
		if err := r.spool.replay(ctx, h); err != nil {
			r.closeSockets()
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	switch {
	case r.udp != nil:
		return r.runDatagrams(ctx, r.udp, true, h)
	case r.tcp != nil:
		return r.runTCP(ctx, h)
	default:
		return r.unix.run(ctx, r, h)
	}
}

// closeSockets closes what was opened and not begun with.
func (r *Receiver) closeSockets() {
	switch {
	case r.udp != nil:
		r.udp.Close()
	case r.tcp != nil:
		r.tcp.Close()
		for _, k := range r.resumed { // systemd has copies
			k.tcp.Close()
		}
	default:
		r.unix.close()
	}
}
