// Command handler is a handler that does what its caller asks for in the path.
package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"unsafe"
)

//go:wasmimport ofn_v1 request_head
func requestHead(at unsafe.Pointer, room uint32) int32

//go:wasmimport ofn_v1 request_body
func requestBody(at unsafe.Pointer, room uint32) int32

//go:wasmimport ofn_v1 response_head
func responseHead(at unsafe.Pointer, size uint32) int32

//go:wasmimport ofn_v1 response_body
func responseBody(at unsafe.Pointer, size uint32) int32

//go:wasmimport ofn_v1 response_flush
func responseFlush() int32

var (
	born  = rand.Uint64() // of the initialisation
	calls int
	buf   [64 << 10]byte
	keep  [][]byte
)

func say(s string) int32 { return responseBody(unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))) }

func head(s string) int32 { return responseHead(unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))) }

//go:wasmexport ofn_handle
func handle() int32 {
	n := requestHead(unsafe.Pointer(&buf), uint32(len(buf)))
	if n < 0 {
		return 9
	}
	request := string(buf[:n])
	path := strings.Fields(request)[1]
	calls++
	switch path {
	case "/head":
		head("201 Created\r\nContent-Type: text/plain\r\nX-Two: 1\r\nX-Two: 2\r\n")
		return say(request)
	case "/echo":
		for {
			n := requestBody(unsafe.Pointer(&buf), uint32(len(buf)))
			if n <= 0 {
				return n
			}
			if responseBody(unsafe.Pointer(&buf), uint32(n)) < 0 {
				return 8
			}
			responseFlush()
		}
	case "/born":
		return say(strconv.FormatUint(born, 10))
	case "/env":
		return say(strings.Join(os.Environ(), "\n"))
	case "/file":
		b, err := os.ReadFile("/etc/secret/key")
		if err != nil {
			return say(err.Error())
		}
		return say(string(b))
	case "/bad-head":
		head("nonsense")
	case "/fail":
		return 5
	case "/exit":
		os.Exit(7)
	case "/trap":
		var none *int
		*none = 1
	case "/loop":
		for {
		}
	case "/grow":
		for {
			keep = append(keep, make([]byte, 1<<20))
		}
	case "/flood":
		for say(request) == 0 {
		}
		for {
		}
	case "/shout":
		for range 100 {
			os.Stderr.WriteString(strings.Repeat("x", 1023) + "\n")
		}
	}
	return say("hello " + strconv.Itoa(calls))
}

func main() {}
