package syslog

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Passed are the sockets that systemd passed to the process, for New to choose from by network and local address. The
// daemon makes one of all files (activation.Files, whose names are those of the descriptors) and hands it to every New.
type Passed struct {
	// Keeper keeps accepted TCP connections for the next process. Set it before the first New; nil keeps none.
	Keeper keeper

	mu    sync.Mutex
	files []*os.File
	kept  map[string][]*os.File // what an earlier process kept, by name: a connection, perhaps its note
}

// NewPassed returns the sockets in files. It owns the files from then on.
func NewPassed(files ...*os.File) *Passed {
	p := &Passed{kept: map[string][]*os.File{}}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), keptPrefix) || strings.HasPrefix(f.Name(), oldPrefix) {
			p.kept[f.Name()] = append(p.kept[f.Name()], f)
		} else {
			p.files = append(p.files, f)
		}
	}
	return p
}

// Left returns the sockets that no New has taken, which is worth a warning: systemd listens there and nobody reads. Kept
// connections are not among them, see Disown.
func (p *Passed) Left() []*os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*os.File(nil), p.files...)
}

// Listener takes the listening TCP socket with this local address, for somebody else than this package. It returns nil if
// none was passed.
func (p *Passed) Listener(at netip.AddrPort) net.Listener {
	if l, ok := take(p, func(f *os.File) (*net.TCPListener, bool) { return matchTCP(f, at) }); ok {
		return l
	}
	return nil
}

// Disown closes the kept connections and rings that no New has taken, because their listener is no longer configured or
// they are from a version that kept them otherwise, and has them forgotten. It returns how many connections there were. Call
// it after the last New.
func (p *Passed) Disown() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for name, files := range p.kept {
		if !strings.HasPrefix(name, ringPrefix) {
			n++
		}
		p.disown(name, files)
	}
	clear(p.kept)
	return n
}

func (p *Passed) disown(name string, files []*os.File) {
	for _, f := range files {
		if raw, err := f.SyscallConn(); err == nil { // the peer is to be told whenever systemd closes its copy
			_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
		}
		f.Close()
	}
	if p.Keeper != nil {
		p.Keeper.Forget(name)
	}
}

// ring takes the ring of a listener.
func (p *Passed) ring(listen string) *os.File {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := ringName(listen)
	files := p.kept[name]
	delete(p.kept, name)
	if len(files) == 0 {
		return nil
	}
	for _, f := range files[1:] { // nobody keeps two
		f.Close()
	}
	return files[0]
}

// keptConn is a connection that an earlier process kept.
type keptConn struct {
	name  string
	how   framing
	old   bool // the name and the note are of the version before
	tcp   *net.TCPConn
	spill *os.File // see conn.note; nil if there is none
}

// connections takes the connections that were accepted from a listener. Those that broke meanwhile are forgotten.
func (p *Passed) connections(listener netip.AddrPort) []*keptConn {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*keptConn
	for name, files := range p.kept {
		how, by, ok := readKeptName(name)
		old := false
		if !ok {
			how, by, old = readOldName(name)
		}
		if !ok && !old || by != listenerName(listener) {
			continue
		}
		delete(p.kept, name)
		k := &keptConn{name: name, how: how, old: old}
		if k.open(files, listener) {
			all = append(all, k)
		} else {
			p.disown(name, files)
		}
	}
	return all
}

// open makes of files what they are, and closes them. It reports false, and closes nothing, if there is no live connection
// of the listener among them.
func (k *keptConn) open(files []*os.File, listener netip.AddrPort) bool {
	var socket *os.File
	for _, f := range files {
		if info, err := f.Stat(); err != nil {
			return false
		} else if info.Mode().IsRegular() {
			k.spill = f
		} else {
			socket = f
		}
	}
	if socket == nil {
		return false
	}
	c, err := net.FileConn(socket)
	if err != nil {
		return false
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok || tcp.RemoteAddr() == nil || listens(socket) || !within(tcp.LocalAddr().(*net.TCPAddr).AddrPort(), listener) {
		c.Close()
		return false
	}
	socket.Close()
	k.tcp = tcp
	return true
}

// within reports whether a connection with this local address can have come in by the listener.
func within(local, listener netip.AddrPort) bool {
	return local.Port() == listener.Port() &&
		(listener.Addr().IsUnspecified() || local.Addr().Unmap().WithZone("") == listener.Addr().Unmap().WithZone(""))
}

// listens reports whether f is a listening socket.
func listens(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	yes := 0
	_ = raw.Control(func(fd uintptr) { yes, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN) })
	return yes != 0
}

// take finds the first socket for which match gives a value, and closes its file: match has made a copy.
func take[T any](p *Passed, match func(*os.File) (T, bool)) (found T, ok bool) {
	if p == nil {
		return found, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.files {
		if found, ok = match(f); ok {
			f.Close()
			p.files = append(p.files[:i:i], p.files[i+1:]...)
			return found, true
		}
	}
	return found, false
}

// open takes the receiver's socket from passed, or opens it.
func (r *Receiver) open(passed *Passed) (err error) {
	switch r.at.network {
	case "udp":
		if r.udp, r.passed = take(passed, func(f *os.File) (*net.UDPConn, bool) { return matchUDP(f, r.at.addr) }); !r.passed {
			r.udp, err = net.ListenUDP(r.at.family(), net.UDPAddrFromAddrPort(r.at.addr))
		}
		if err == nil {
			err = r.prepareUDP()
		}
	case "tcp":
		if r.tcp, r.passed = take(passed, func(f *os.File) (*net.TCPListener, bool) { return matchTCP(f, r.at.addr) }); !r.passed {
			r.tcp, err = net.ListenTCP(r.at.family(), net.TCPAddrFromAddrPort(r.at.addr))
		}
		if err == nil {
			r.resumed = passed.connections(r.identity())
		}
	default:
		r.unix, err = listenUnix(&r.cfg, r.at.path)
	}
	if err == nil && passed != nil {
		r.keeper, r.left = passed.Keeper, passed.ring(r.cfg.Listen)
	}
	return err
}

// identity tells a TCP listener from others: its address as configured, with the port that it has. (The address that it
// has depends on who opened it: 0.0.0.0 may be [::].)
func (r *Receiver) identity() netip.AddrPort {
	return netip.AddrPortFrom(r.at.addr.Addr(), r.tcp.Addr().(*net.TCPAddr).AddrPort().Port())
}

func matchUDP(f *os.File, want netip.AddrPort) (*net.UDPConn, bool) {
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, false
	}
	if udp, ok := c.(*net.UDPConn); ok && same(udp.LocalAddr().(*net.UDPAddr).AddrPort(), want) {
		return udp, true
	}
	c.Close()
	return nil, false
}

func matchTCP(f *os.File, want netip.AddrPort) (*net.TCPListener, bool) {
	if !listens(f) {
		return nil, false
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, false
	}
	if tcp, ok := l.(*net.TCPListener); ok && same(tcp.Addr().(*net.TCPAddr).AddrPort(), want) {
		return tcp, true
	}
	l.Close()
	return nil, false
}

// same compares local addresses. All addresses are all addresses, in whichever family: systemd writes 514 as [::]:514.
func same(a, b netip.AddrPort) bool {
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	return a.Port() == b.Port() && (x == y || x.IsUnspecified() && y.IsUnspecified())
}

// prepareUDP asks for the receive buffer and for the count of datagrams that did not fit into it.
func (r *Receiver) prepareUDP() error {
	raw, err := r.udp.SyscallConn()
	if err != nil {
		return err
	}
	var have int
	var failed error
	err = raw.Control(func(fd uintptr) {
		have, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("set SO_RXQ_OVFL: %w", err)
	}
	if have < 2*r.cfg.ReceiveBuffer { // the kernel doubles what it is asked for, and says the double
		if err := r.udp.SetReadBuffer(r.cfg.ReceiveBuffer); err != nil {
			return fmt.Errorf("set receive buffer: %w", err)
		}
	}
	return nil
}
