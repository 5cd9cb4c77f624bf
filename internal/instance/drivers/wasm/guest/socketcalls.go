package guest

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/tetratelabs/wazero/api"
)

const (
	flagNonblock   = 1 << 2 // of descriptors
	typeSocket     = 6      // file type of a stream socket
	recvPeek       = 1
	connectTimeout = 30 * time.Second

	familyInet4, familyInet6 = 1, 2
	socketStream             = 2
)

// descriptorFunctions are those of WASI that know our sockets; other descriptors stay the engine's.
func descriptorFunctions() map[string]hostCall {
	return map[string]hostCall{
		"fd_read": func(ctx context.Context, i *Instance, mem api.Memory, s []uint64) errno {
			return receive(ctx, i, mem, s[0], s[1], s[2], 0, uint32(s[3]))
		},
		"fd_write": func(ctx context.Context, i *Instance, mem api.Memory, s []uint64) errno {
			return send(ctx, i, mem, s[0], s[1], s[2], uint32(s[3]))
		},
		"fd_fdstat_get":       statSocket,
		"fd_fdstat_set_flags": setSocketFlags,
		"fd_filestat_get":     fileStatSocket,
		"fd_seek":             func(context.Context, *Instance, api.Memory, []uint64) errno { return errPipe },
		"fd_renumber":         func(context.Context, *Instance, api.Memory, []uint64) errno { return errNotSup },
		"fd_prestat_get":      func(context.Context, *Instance, api.Memory, []uint64) errno { return errBadFD },
	}
}

// socketFunctions are those of WASI about sockets, and the extension of WasmEdge in the same namespace. Some of them differ
// between versions of the extension in parameters that do not matter here.
func socketFunctions() map[string]hostFunc {
	result := []api.ValueType{i32}
	fixed := func(n int, f hostCall) hostFunc { return hostFunc{call: f, params: parameters(n), results: result} }
	return map[string]hostFunc{
		"poll_oneoff":  fixed(4, pollOneoff),
		"epoll_oneoff": fixed(4, pollOneoff),
		"sock_accept":  {call: hostCall(accept), variable: true},
		"sock_recv":    fixed(6, receiveFrom),
		"sock_send": fixed(5, func(ctx context.Context, i *Instance, mem api.Memory, s []uint64) errno {
			return send(ctx, i, mem, s[0], s[1], s[2], uint32(s[4]))
		}),
		"sock_shutdown":     fixed(2, shutdown),
		"sock_open":         fixed(3, open),
		"sock_bind":         fixed(3, bind),
		"sock_listen":       fixed(2, listen),
		"sock_connect":      fixed(3, connect),
		"sock_getpeeraddr":  fixed(4, address(net.Conn.RemoteAddr)),
		"sock_getlocaladdr": fixed(4, address(net.Conn.LocalAddr)),
		"sock_getsockopt":   fixed(5, getOption),
		"sock_setsockopt":   fixed(5, func(_ context.Context, i *Instance, _ api.Memory, s []uint64) errno { return known(i, s[0]) }),
		"sock_getaddrinfo":  fixed(8, lookup),
		"sock_recv_from":    {call: hostCall(notSupported), variable: true},
		"sock_send_to":      {call: hostCall(notSupported), variable: true},
	}
}

// notSupported is what datagrams are.
func notSupported(context.Context, *Instance, api.Memory, []uint64) errno { return errNotSup }

func known(i *Instance, fd uint64) errno {
	if i.sockets.has(int32(fd)) {
		return success
	}
	return errBadFD
}

func closeSocket(_ context.Context, i *Instance, _ api.Memory, s []uint64) errno {
	return i.sockets.remove(int32(s[0]))
}

func statSocket(_ context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	b, ok := mem.Read(uint32(s[1]), 24)
	if !ok {
		return errFault
	}
	clear(b)
	b[0] = typeSocket
	k := i.sockets.table[int32(s[0])]
	if k.given { // as other runtimes give it; one who does not ask waits
		k.nonblocking, k.given = true, false
	}
	if k.nonblocking {
		b[2] = flagNonblock
	}
	binary.LittleEndian.PutUint64(b[8:], 1<<30-1) // all rights
	binary.LittleEndian.PutUint64(b[16:], 1<<30-1)
	return success
}

func setSocketFlags(_ context.Context, i *Instance, _ api.Memory, s []uint64) errno {
	k := i.sockets.table[int32(s[0])]
	k.nonblocking, k.given = s[1]&flagNonblock != 0, false
	return success
}

func fileStatSocket(_ context.Context, _ *Instance, mem api.Memory, s []uint64) errno {
	b, ok := mem.Read(uint32(s[1]), 64)
	if !ok {
		return errFault
	}
	clear(b)
	b[16] = typeSocket
	return success
}

// accept has a third parameter in WASI, the flags of the new descriptor, and none in WasmEdge's extension.
func accept(ctx context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	k := i.sockets.table[int32(s[0])]
	if k == nil {
		return errBadFD
	}
	if !k.listening {
		return errInvalid
	}
	result, nonblocking := uint32(s[1]), false
	if i.maker.program.wasiAccept {
		result, nonblocking = uint32(s[2]), s[1]&flagNonblock != 0
	}
	fd, err := i.accept(ctx, k.nonblocking, nonblocking)
	if err == success && !mem.WriteUint32Le(result, uint32(fd)) {
		return errFault
	}
	return err
}

func (i *Instance) accept(ctx context.Context, now, nonblocking bool) (int32, errno) {
	i.sockets.listener.listen(i.sockets.changed)
	select {
	case c := <-i.sockets.listener.queue:
		return i.sockets.attach(c, nonblocking)
	default:
	}
	if now {
		return 0, errAgain
	}
	select {
	case c := <-i.sockets.listener.queue:
		return i.sockets.attach(c, nonblocking)
	case <-ctx.Done():
		return 0, errIntr
	}
}

// vectors are the buffers that an iovec array names.
func vectors(mem api.Memory, at, n uint64) ([][]byte, errno) {
	const most = 1024
	if n > most {
		return nil, errInvalid
	}
	list, ok := mem.Read(uint32(at), uint32(n)*8)
	if !ok {
		return nil, errFault
	}
	all := make([][]byte, 0, n)
	for ; len(list) > 0; list = list[8:] {
		p, ok := mem.Read(binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:]))
		if !ok {
			return nil, errFault
		}
		if len(p) > 0 {
			all = append(all, p)
		}
	}
	return all, success
}

// connected is the connection of a descriptor.
func connected(i *Instance, fd uint64) (*socket, errno) {
	k := i.sockets.table[int32(fd)]
	switch {
	case k == nil:
		return nil, errBadFD
	case k.stream == nil:
		return nil, errNotConn
	}
	return k, success
}

func receiveFrom(ctx context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	if err := receive(ctx, i, mem, s[0], s[1], s[2], s[3], uint32(s[4])); err != success {
		return err
	}
	if !mem.WriteUint16Le(uint32(s[5]), 0) {
		return errFault
	}
	return success
}

func receive(ctx context.Context, i *Instance, mem api.Memory, fd, at, n, flags uint64, result uint32) errno {
	k, err := connected(i, fd)
	if err != success {
		return err
	}
	bufs, err := vectors(mem, at, n)
	if err != success {
		return err
	}
	total := 0
	for _, b := range bufs {
		try := func() (int, errno) { return k.stream.read(b, flags&recvPeek != 0) }
		var got int
		if total > 0 || k.nonblocking {
			got, err = try()
		} else {
			got, err = i.sockets.wait(ctx, try)
		}
		if err != success && total == 0 {
			return err
		}
		total += got
		if err != success || got < len(b) {
			break
		}
	}
	if !mem.WriteUint32Le(result, uint32(total)) {
		return errFault
	}
	return success
}

func send(ctx context.Context, i *Instance, mem api.Memory, fd, at, n uint64, result uint32) errno {
	k, err := connected(i, fd)
	if err != success {
		return err
	}
	bufs, err := vectors(mem, at, n)
	if err != success {
		return err
	}
	total := 0
	for _, b := range bufs {
		for len(b) > 0 && err == success {
			try := func() (int, errno) { return k.stream.write(b) }
			var put int
			if k.nonblocking {
				put, err = try()
			} else {
				put, err = i.sockets.wait(ctx, try)
			}
			total += put
			b = b[put:]
		}
	}
	if err != success && total == 0 {
		return err
	}
	if !mem.WriteUint32Le(result, uint32(total)) {
		return errFault
	}
	return success
}

func shutdown(_ context.Context, i *Instance, _ api.Memory, s []uint64) errno {
	k, err := connected(i, s[0])
	if err != success {
		return err
	}
	k.stream.shutdown(s[1]&1 != 0, s[1]&2 != 0)
	return success
}

func open(_ context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	if byte(s[1]) != socketStream {
		return errNotSup
	}
	fd, err := i.sockets.add(&socket{})
	if err == success && !mem.WriteUint32Le(uint32(s[2]), uint32(fd)) {
		return errFault
	}
	return err
}

// bind remembers the port. The address does not matter: a module is reached by the platform only.
func bind(_ context.Context, i *Instance, _ api.Memory, s []uint64) errno {
	k := i.sockets.table[int32(s[0])]
	if k == nil {
		return errBadFD
	}
	k.bound = uint32(s[2])
	return success
}

func listen(_ context.Context, i *Instance, _ api.Memory, s []uint64) errno {
	k := i.sockets.table[int32(s[0])]
	switch {
	case k == nil:
		return errBadFD
	case k.stream != nil:
		return errConnected
	case i.sockets.listener == nil:
		return errNotSup
	}
	k.listening = true
	i.sockets.listener.listen(i.sockets.changed)
	return success
}

func connect(ctx context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	k := i.sockets.table[int32(s[0])]
	if k == nil {
		return errBadFD
	}
	if k.stream != nil {
		return errConnected
	}
	ip, err := readAddress(mem, uint32(s[1]))
	if err != success {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, dialErr := (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(ip, uint16(s[2])).String())
	if dialErr != nil {
		return errnoOf(dialErr)
	}
	k.stream = newStream(c, i.sockets.changed, &i.sockets.streams)
	return success
}

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

// getOption says zero, which is "no error" for the one option that is asked after a connection was made.
func getOption(_ context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	if err := known(i, s[0]); err != success {
		return err
	}
	size, ok := mem.ReadUint32Le(uint32(s[4]))
	b, ok2 := mem.Read(uint32(s[3]), min(size, 16))
	if !ok || !ok2 {
		return errFault
	}
	clear(b)
	return success
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
