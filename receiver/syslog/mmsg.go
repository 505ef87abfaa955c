package syslog

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How much one recvmmsg(2) takes at most. A datagram has at most 65,507 bytes (65,527 by IPv6 without jumbograms).
const (
	maxDatagrams = 64
	maxDatagram  = 64 << 10
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// datagrams is what one call of recvmmsg(2) brings. Its memory is touched only as far as datagrams fill it.
type datagrams struct {
	n     int // how many there are
	hdrs  [maxDatagrams]mmsghdr
	iovs  [maxDatagrams]unix.Iovec
	names [maxDatagrams]unix.RawSockaddrInet6 // large enough for IPv4 too
	oobs  [maxDatagrams][oobSize]byte
	bytes []byte
}

// oobSize holds one control message: the 4 bytes of SO_RXQ_OVFL or the 12 of SCM_CREDENTIALS, and not a byte more, so that
// there is no room for descriptors (SCM_RIGHTS), which any sender may put into a datagram of a unix socket: the kernel
// gives credentials first, and drops descriptors that do not fit.
const oobSize = unix.SizeofCmsghdr + 16

func newDatagrams() *datagrams {
	d := &datagrams{bytes: make([]byte, maxDatagrams*maxDatagram)}
	for i := range d.hdrs {
		d.iovs[i].Base = &d.bytes[i*maxDatagram]
		d.iovs[i].SetLen(maxDatagram)
		h := &d.hdrs[i].hdr
		h.Iov = &d.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&d.names[i]))
		h.Control = &d.oobs[i][0]
		d.prepare(i)
	}
	return d
}

// prepare says how much room there is for the i-th sender and control message; the kernel writes over it.
func (d *datagrams) prepare(i int) {
	d.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	d.hdrs[i].hdr.SetControllen(oobSize)
}

// receive takes what there is, without waiting.
func (d *datagrams) receive(fd uintptr) unix.Errno {
	for i := range d.n { // as the last call left them
		d.prepare(i)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&d.hdrs[0])), maxDatagrams, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		d.n = 0
		if errno == 0 {
			d.n = int(n)
		}
		return errno
	}
}

// data returns the i-th datagram. It keeps until the next receive.
func (d *datagrams) data(i int) []byte {
	start := i * maxDatagram
	return d.bytes[start : start+int(d.hdrs[i].len)]
}

// peer returns the sender of the i-th datagram.
func (d *datagrams) peer(i int) netip.Addr {
	name := &d.names[i]
	switch name.Family {
	case unix.AF_INET:
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
	case unix.AF_INET6:
		return netip.AddrFrom16(name.Addr).Unmap()
	default:
		return netip.Addr{}
	}
}

// cut reports whether the i-th datagram was longer than there is room.
func (d *datagrams) cut(i int) bool { return d.hdrs[i].hdr.Flags&unix.MSG_TRUNC != 0 }

// overflow returns how many datagrams the socket had dropped for want of room when the i-th arrived (SO_RXQ_OVFL). The
// kernel says so only once there are any.
func (d *datagrams) overflow(i int) (total uint32, ok bool) {
	data := d.control(i, unix.SO_RXQ_OVFL, 4)
	if data == nil {
		return 0, false
	}
	return binary.NativeEndian.Uint32(data), true
}

// uid returns the user whose process sent the i-th datagram, by a unix socket with SO_PASSCRED.
func (d *datagrams) uid(i int) (uid uint32, ok bool) {
	data := d.control(i, unix.SCM_CREDENTIALS, unix.SizeofUcred)
	if data == nil {
		return 0, false
	}
	return binary.NativeEndian.Uint32(data[4:]), true // after the pid
}

// control returns the data of the i-th datagram's control message if it is of this type and size, else nil.
func (d *datagrams) control(i int, kind int32, size int) []byte {
	if d.hdrs[i].hdr.Controllen < uint64(unix.SizeofCmsghdr+size) {
		return nil
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&d.oobs[i][0]))
	if c.Level != unix.SOL_SOCKET || c.Type != kind {
		return nil
	}
	return d.oobs[i][unix.SizeofCmsghdr : unix.SizeofCmsghdr+size]
}
