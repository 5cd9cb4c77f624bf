//go:build linux

package main

// A module written by hand is a list of sections, each with a number, a length and a body; here all of them are short.

func section(id byte, body string) string { return string([]byte{id, byte(len(body))}) + body }

func name(s string) string { return string([]byte{byte(len(s))}) + s }

// commandModule writes a CGI response with fd_write(1, iovec at 0, 1, result at 8) and ends.
func commandModule() []byte {
	const text = "Content-Type: text/plain\n\nhello"
	code := "\x00\x41\x01\x41\x00\x41\x01\x41\x08\x10\x00\x1a\x0b" // i32.const 1, 0, 1, 8; call 0; drop; end
	data := "\x00\x41\x00\x0b" + name("\x10\x00\x00\x00"+string([]byte{byte(len(text))})+"\x00\x00\x00") + "\x00\x41\x10\x0b" + name(text)
	return module("\x02\x60\x04\x7f\x7f\x7f\x7f\x01\x7f\x60\x00\x00", name("wasi_snapshot_preview1")+name("fd_write"), name("_start"), code, data)
}

// handlerModule answers with response_body(text at 16, its length).
func handlerModule() []byte {
	const text = "hello"
	code := "\x00\x41\x10\x41" + string([]byte{byte(len(text))}) + "\x10\x00\x0b" // i32.const 16, length; call 0; end
	return module("\x02\x60\x02\x7f\x7f\x01\x7f\x60\x00\x01\x7f", name("ofn_v1")+name("response_body"), name("ofn_handle"), code, "\x00\x41\x10\x0b"+name(text))
}

// module has an imported function of type 0, its own of type 1, which it exports, and a page of memory with data.
func module(types, imported, exported, code, data string) []byte {
	segments := byte(1)
	if exported == name("_start") {
		segments = 2
	}
	return []byte("\x00asm\x01\x00\x00\x00" + section(1, types) + section(2, "\x01"+imported+"\x00\x00") + section(3, "\x01\x01") + section(5, "\x01\x00\x01") +
		section(7, "\x02"+name("memory")+"\x02\x00"+exported+"\x00\x01") + section(10, "\x01"+name(code)) + section(11, string([]byte{segments})+data))
}
