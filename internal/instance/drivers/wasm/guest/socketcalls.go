package guest

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
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
