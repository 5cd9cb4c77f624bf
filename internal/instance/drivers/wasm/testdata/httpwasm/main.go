// Command httpwasm is a handler of the http-wasm interface.
package main

import "unsafe"

//go:wasmimport http_handler get_uri
func getURI(at unsafe.Pointer, room uint32) uint32

//go:wasmimport http_handler get_header_values
func getHeaderValues(kind uint32, name unsafe.Pointer, size uint32, at unsafe.Pointer, room uint32) uint64

//go:wasmimport http_handler set_header_value
func setHeaderValue(kind uint32, name unsafe.Pointer, size uint32, value unsafe.Pointer, length uint32)

//go:wasmimport http_handler set_status_code
func setStatusCode(code uint32)

//go:wasmimport http_handler read_body
func readBody(kind uint32, at unsafe.Pointer, room uint32) uint64

//go:wasmimport http_handler write_body
func writeBody(kind uint32, at unsafe.Pointer, size uint32)

var buf [4096]byte

func text(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

func say(p []byte) { writeBody(1, unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p))) }

//go:wasmexport handle_request
func handleRequest() uint64 {
	n := getURI(unsafe.Pointer(&buf), uint32(len(buf)))
	if string(buf[:n]) == "/next" {
		return 1
	}
	name, size := text("X-Kind")
	value, length := text("wasm")
	setHeaderValue(1, name, size, value, length)
	setStatusCode(201)
	say(append(buf[:n:n], ' '))
	name, size = text("content-type")
	many := getHeaderValues(0, name, size, unsafe.Pointer(&buf), uint32(len(buf)))
	say(buf[:uint32(many)-1])
	say([]byte(" "))
	for {
		got := readBody(0, unsafe.Pointer(&buf), 5)
		say(buf[:uint32(got)])
		if got>>32 != 0 {
			return 0
		}
	}
}

//go:wasmexport handle_response
func handleResponse(context, failed uint32) {}

func main() {}
