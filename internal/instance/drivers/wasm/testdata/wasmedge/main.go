// Command wasmedge is a server that opens its own socket with the extension of WasmEdge.
package main

import (
	"os"
	"strconv"
	"unsafe"
)

//go:wasmimport wasi_snapshot_preview1 sock_open
func sockOpen(family, kind uint32, fd unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_bind
func sockBind(fd uint32, address unsafe.Pointer, port uint32) uint32

//go:wasmimport wasi_snapshot_preview1 sock_listen
func sockListen(fd, backlog uint32) uint32

//go:wasmimport wasi_snapshot_preview1 sock_accept
func sockAccept(fd uint32, result unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_recv
func sockRecv(fd uint32, vectors unsafe.Pointer, n, flags uint32, size, oflags unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_send
func sockSend(fd uint32, vectors unsafe.Pointer, n, flags uint32, size unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_shutdown
func sockShutdown(fd, how uint32) uint32

//go:wasmimport wasi_snapshot_preview1 sock_getlocaladdr
func sockGetLocalAddr(fd uint32, address, family, port unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 fd_close
func fdClose(fd uint32) uint32

type vector struct{ at, size uint32 }

func of(p []byte) vector {
	return vector{uint32(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), uint32(len(p))}
}

var buf, answer [4096]byte

func check(step string, errno uint32) {
	if errno != 0 {
		println(step, errno)
		os.Exit(9)
	}
}

func main() {
	var l, family, port uint32
	ip := [16]byte{}
	address := of(ip[:4])
	check("open", sockOpen(1, 2, unsafe.Pointer(&l)))
	check("bind", sockBind(l, unsafe.Pointer(&address), 8080))
	check("listen", sockListen(l, 128))
	check("getlocaladdr", sockGetLocalAddr(l, unsafe.Pointer(&address), unsafe.Pointer(&family), unsafe.Pointer(&port)))
	for {
		var c, n, flags uint32
		check("accept", sockAccept(l, unsafe.Pointer(&c)))
		in := of(buf[:])
		if sockRecv(c, unsafe.Pointer(&in), 1, 0, unsafe.Pointer(&n), unsafe.Pointer(&flags)) == 0 && n > 0 {
			text := append(answer[:0], "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nbound to "...)
			text = strconv.AppendUint(text, uint64(port), 10)
			out := of(text)
			sockSend(c, unsafe.Pointer(&out), 1, 0, unsafe.Pointer(&n))
		}
		sockShutdown(c, 3)
		fdClose(c)
	}
}
