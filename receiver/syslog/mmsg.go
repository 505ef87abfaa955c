package syslog

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How much one recvmmsg(2) takes at most. A datagram has at most 65,507 bytes (65,527 by IPv6 without jumbograms).
const (
	maxDatagrams = 64
	maxDatagram  = 64 << 10
)

// mmsghdr is struct mmsghdr of recvmmsg(2), and iovec its struct iovec. Their pointers are into the same memory, which is
// not Go's.
type mmsghdr struct {
	name       uintptr
	namelen    uint32
	iov        uintptr
	iovlen     uint64
	control    uintptr
	controllen uint64
	flags      int32
	_          int32
	len        uint32 // of the datagram; none if there is none
}

type iovec struct {
	base uintptr
	len  uint64
}

// none is the length of a datagram that is not there.
const none = ^uint32(0)

// stage is the memory that recvmmsg(2) writes to. Where there is a ring it is a part of it, so that no datagram is lost with
// a process that is killed before the datagram is in a block: the kernel writes a datagram's length last. turn counts the
// calls. It is touched only as far as datagrams fill it.
type stage struct {
	turn  uint64
	hdrs  [maxDatagrams]mmsghdr
	iovs  [maxDatagrams]iovec
	names [maxDatagrams]unix.RawSockaddrInet6 // large enough for IPv4 too
	oobs  [maxDatagrams][oobSize]byte
	bytes [maxDatagrams * maxDatagram]byte
}

const stageSize = int(unsafe.Sizeof(stage{}))

// oobSize holds one control message: the 4 bytes of SO_RXQ_OVFL or the 12 of SCM_CREDENTIALS, and not a byte more, so that
// there is no room for descriptors (SCM_RIGHTS), which any sender may put into a datagram of a unix socket: the kernel
// gives credentials first, and drops descriptors that do not fit.
const oobSize = unix.SizeofCmsghdr + 16

// datagrams is what one call of recvmmsg(2) brings.
type datagrams struct {
	*stage
	n int // how many there are
}

// newDatagrams returns those that another process left in mem, of at least stageSize bytes, aligned as pages are and not of
// Go's heap. prepareAll must come before the first receive.
func newDatagrams(mem []byte) *datagrams {
	d := &datagrams{stage: (*stage)(unsafe.Pointer(&mem[0]))}
	for d.turn > 0 && d.n < maxDatagrams && d.hdrs[d.n].len <= maxDatagram {
		d.n++
	}
	return d
}

// prepareAll makes of any memory what receive needs.
func (d *datagrams) prepareAll() {
	d.done()
	for i := range d.hdrs {
		d.iovs[i] = iovec{uintptr(unsafe.Pointer(&d.bytes[i*maxDatagram])), maxDatagram}
		d.hdrs[i] = mmsghdr{
			name:    uintptr(unsafe.Pointer(&d.names[i])),
			iov:     uintptr(unsafe.Pointer(&d.iovs[i])),
			iovlen:  1,
			control: uintptr(unsafe.Pointer(&d.oobs[i][0])),
			len:     none,
		}
		d.prepare(i)
	}
	d.n = 0
}

// done says that the datagrams are no longer needed.
func (d *datagrams) done() { atomic.StoreUint32(&d.hdrs[0].len, none) }

// prepare makes room for the i-th sender and control message; the kernel writes over it.
func (d *datagrams) prepare(i int) {
	h := &d.hdrs[i]
	atomic.StoreUint32(&h.len, none)
	h.namelen = unix.SizeofSockaddrInet6
	h.controllen = oobSize
}

// receive takes what there is, without waiting.
func (d *datagrams) receive(fd uintptr) unix.Errno {
	for i := range d.n { // as the last call left them
		d.prepare(i)
	}
	d.n = 0
	atomic.AddUint64(&d.turn, 1)
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&d.hdrs[0])), maxDatagrams, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
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
func (d *datagrams) cut(i int) bool { return int(d.hdrs[i].flags)&unix.MSG_TRUNC != 0 }

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
	if d.hdrs[i].controllen < uint64(unix.SizeofCmsghdr+size) {
		return nil
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&d.oobs[i][0]))
	if c.Level != unix.SOL_SOCKET || c.Type != kind {
		return nil
	}
	return d.oobs[i][unix.SizeofCmsghdr : unix.SizeofCmsghdr+size]
}
