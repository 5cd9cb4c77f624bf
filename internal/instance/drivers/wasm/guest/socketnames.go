package guest

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"github.com/tetratelabs/wazero/api"
)

// readAddress reads an address: four bytes, sixteen, or more with the family before.
func readAddress(mem api.Memory, at uint32) (netip.Addr, errno) {
	ptr, ok1 := mem.ReadUint32Le(at)
	size, ok2 := mem.ReadUint32Le(at + 4)
	b, ok3 := mem.Read(ptr, min(size, 18))
	if !ok1 || !ok2 || !ok3 {
		return netip.Addr{}, errFault
	}
	switch {
	case size == 4 || size == 16:
		a, _ := netip.AddrFromSlice(b)
		return a.Unmap(), success
	case len(b) == 18 && b[0] == familyInet4:
		return netip.AddrFrom4([4]byte(b[2:6])), success
	case len(b) == 18 && b[0] == familyInet6:
		return netip.AddrFrom16([16]byte(b[2:18])), success
	}
	return netip.Addr{}, errInvalid
}

// address writes one end of a connection. That of a connection from the platform has none, and is told as the loopback.
func address(end func(net.Conn) net.Addr) hostCall {
	return func(_ context.Context, i *Instance, mem api.Memory, s []uint64) errno {
		k := i.sockets.table[int32(s[0])]
		if k == nil {
			return errBadFD
		}
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(k.bound))
		if k.stream != nil {
			if tcp, ok := end(k.stream.conn).(*net.TCPAddr); ok {
				a = netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), uint16(tcp.Port))
			}
		}
		family, raw := uint32(4), a.Addr().AsSlice()
		if len(raw) == 16 {
			family = 6
		}
		ptr, ok := mem.ReadUint32Le(uint32(s[1]))
		if !ok || !mem.Write(ptr, raw) || !mem.WriteUint32Le(uint32(s[2]), family) || !mem.WriteUint32Le(uint32(s[3]), uint32(a.Port())) {
			return errFault
		}
		return success
	}
}

// lookup asks for the addresses of a name. The caller has prepared a list of results, each with room for an address.
func lookup(ctx context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	node, ok1 := mem.Read(uint32(s[0]), uint32(s[1]))
	service, ok2 := mem.Read(uint32(s[2]), uint32(s[3]))
	at, ok3 := mem.ReadUint32Le(uint32(s[5]))
	if !ok1 || !ok2 || !ok3 || len(node) > 256 || len(service) > 64 {
		return errFault
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", orZero(text(service)))
	if err != nil {
		return errInvalid
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", text(node))
	if err != nil {
		return errHost
	}
	n := uint32(0)
	for _, ip := range ips[:min(len(ips), int(uint32(s[6])))] {
		if at == 0 || !writeInfo(mem, at, ip.Unmap(), uint16(port)) {
			return errFault
		}
		n++
		at, _ = mem.ReadUint32Le(at + 24) // the next of the list
	}
	if !mem.WriteUint32Le(uint32(s[7]), n) {
		return errFault
	}
	return success
}

// writeInfo fills one result in: flags, family, type and protocol, the length and place of the address, which has its own family,
// length and place of its bytes: port in network order, then the address.
func writeInfo(mem api.Memory, at uint32, ip netip.Addr, port uint16) bool {
	raw := ip.AsSlice()
	family := byte(familyInet4)
	if len(raw) == 16 {
		family = familyInet6
	}
	addr, ok := mem.ReadUint32Le(at + 12)
	data, ok2 := mem.ReadUint32Le(addr + 8)
	return ok && ok2 && mem.Write(at, []byte{0, 0, family, socketStream, 1}) && mem.WriteUint32Le(at+8, 16) &&
		mem.WriteByte(addr, family) && mem.WriteUint32Le(addr+4, uint32(len(raw)+2)) &&
		mem.Write(data, append([]byte{byte(port >> 8), byte(port)}, raw...))
}

// text is a string as the module has it, which may end with a zero.
func text(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return string(b)
}

func orZero(service string) string {
	if service == "" {
		return strconv.Itoa(0)
	}
	return service
}
