package socket

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readUnsent returns how many bytes of a socket's send buffer are in use.
func readUnsent(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// mmsghdr is struct mmsghdr of recvmmsg(2). Go pads it as C does.
type mmsghdr struct {
	unix.Msghdr
	size uint32
}

// batch is the memory of one recvmmsg or sendmmsg. It is never copied: its headers point into it.
type batch struct {
	messages [batchSize]mmsghdr
	parts    [batchSize]unix.Iovec
	names    [batchSize]unix.RawSockaddrInet6 // or unix.RawSockaddrInet4, which is shorter
}

func (b *batch) init() {
	for i := range b.messages {
		m := &b.messages[i]
		m.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		m.Iov = &b.parts[i]
		m.SetIovlen(1)
	}
}

// call makes the system call for n messages. It never waits, so Go's scheduler is not told of it: told,
// it would wake another thread to take over the processor whenever a call takes more than 20 µs, as
// one that sends several datagrams does.
func (b *batch) call(number, fd uintptr, n int) (done int, err error) {
	for {
		r, _, errno := syscall.RawSyscall6(number, fd, uintptr(unsafe.Pointer(&b.messages[0])), uintptr(n),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// reader receives datagrams for one goroutine.
type reader struct {
	batch
	raw     syscall.RawConn
	try     func(fd uintptr) bool // tryRead; kept, because each method value is an allocation
	n       int
	err     error
	buffers [batchSize][MaxDatagram + 1]byte
}

func newReader(_ *net.UDPConn, raw syscall.RawConn) *reader {
	r := &reader{raw: raw}
	r.init()
	for i := range r.parts {
		r.parts[i].Base = &r.buffers[i][0]
		r.parts[i].SetLen(len(r.buffers[i]))
	}
	r.try = r.tryRead
	return r
}

func (r *reader) tryRead(fd uintptr) bool {
	for i := range r.messages {
		r.messages[i].Namelen = unix.SizeofSockaddrInet6
	}
	r.n, r.err = r.call(unix.SYS_RECVMMSG, fd, batchSize)
	return !errors.Is(r.err, unix.EAGAIN)
}

// read waits for datagrams and returns how many it has.
func (r *reader) read() (n int, err error) {
	if err := r.raw.Read(r.try); err != nil {
		return 0, err
	}
	return r.n, r.err
}

// take returns a datagram of the last read, if it was not too long and its sender is known.
func (r *reader) take(i int) (b []byte, from netip.AddrPort, ok bool) {
	n := int(r.messages[i].size)
	if n > MaxDatagram {
		return nil, netip.AddrPort{}, false
	}
	from, ok = parseName(&r.names[i])
	return r.buffers[i][:n], from, ok
}

// writer sends datagrams for one goroutine at a time.
type writer struct {
	batch
	raw  syscall.RawConn
	six  bool                  // the socket takes IPv6 addresses
	try  func(fd uintptr) bool // tryWrite; kept, because each method value is an allocation
	left int                   // datagrams of the batch that are not sent yet
	done int
	err  error
}

func (w *writer) init(fd uintptr, _ *net.UDPConn, raw syscall.RawConn) {
	w.batch.init()
	w.raw, w.try = raw, w.tryWrite
	domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	w.six = err == nil && domain == unix.AF_INET6
}

func (w *writer) tryWrite(fd uintptr) bool {
	w.done, w.err = w.call(unix.SYS_SENDMMSG, fd, w.left)
	return true // it does not wait
}

// write sends each datagram once. One that cannot be sent does not stop the others, unless the send
// buffer is full. It returns how many are lost.
func (w *writer) write(o *outgoing) (lost uint64) {
	for list := o.list; len(list) > 0; {
		w.left = min(len(list), batchSize)
		for i, d := range list[:w.left] {
			w.messages[i].Namelen = setName(&w.names[i], d.to, w.six)
			w.parts[i].Base = unsafe.SliceData(o.bytes[d.start:d.end])
			w.parts[i].SetLen(d.end - d.start)
		}
		err := w.raw.Write(w.try)
		switch {
		case err != nil, errors.Is(w.err, unix.EAGAIN):
			return lost + uint64(len(list))
		case w.err != nil: // it is about the first one
			lost++
			w.done = 1
		}
		list = list[max(w.done, 1):]
	}
	return lost
}

// parseName reads the address of a datagram's sender.
func parseName(n *unix.RawSockaddrInet6) (netip.AddrPort, bool) {
	// The port is in network order.
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&n.Port))[:])
	switch n.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), port), true
	case unix.AF_INET6:
		a := netip.AddrFrom16(n.Addr).Unmap()
		if n.Scope_id != 0 && a.Is6() {
			a = a.WithZone(zones.name(n.Scope_id))
		}
		return netip.AddrPortFrom(a, port), true
	}
	return netip.AddrPort{}, false
}

// setName writes an address for the kernel and returns its length. A socket for IPv6 takes an IPv4
// address as one that is mapped.
func setName(n *unix.RawSockaddrInet6, to netip.AddrPort, six bool) uint32 {
	a := to.Addr()
	if !six {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		*four = unix.RawSockaddrInet4{Family: unix.AF_INET}
		if a = a.Unmap(); !a.Is4() {
			four.Family = unix.AF_INET6 // which the kernel refuses
			return unix.SizeofSockaddrInet4
		}
		four.Addr = a.As4()
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&four.Port))[:], to.Port())
		return unix.SizeofSockaddrInet4
	}
	*n = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.As16()}
	if zone := a.Zone(); zone != "" {
		n.Scope_id = zones.index(zone)
	}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&n.Port))[:], to.Port())
	return unix.SizeofSockaddrInet6
}

// zones knows the names of the interfaces that link-local addresses were seen on. The kernel never
// gives the number of an interface to another one.
var zones zoneNames

type zoneNames struct {
	mu      sync.Mutex
	names   map[uint32]string // guarded by mu
	indexes map[string]uint32 // guarded by mu
}

// name returns the name of an interface, or its number if it has none.
func (z *zoneNames) name(index uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	if name, ok := z.names[index]; ok {
		return name
	}
	name := strconv.FormatUint(uint64(index), 10)
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		name = i.Name
	}
	if z.names == nil {
		z.names, z.indexes = map[uint32]string{}, map[string]uint32{}
	}
	z.names[index], z.indexes[name] = name, index
	return name
}

// index returns the number of an interface, or 0.
func (z *zoneNames) index(name string) uint32 {
	z.mu.Lock()
	defer z.mu.Unlock()
	if index, ok := z.indexes[name]; ok {
		return index
	}
	if i, err := net.InterfaceByName(name); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(name, 10, 32)
	return uint32(n)
}
