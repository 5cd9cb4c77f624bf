package guest

import (
	"context"
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"
)

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
