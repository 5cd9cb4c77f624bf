//go:build wasip1

// Package abi is the handler interface of ../../abi.md as Go functions, without anything else: programs that use it alone stay small.
package abi

import (
	"errors"
	"io"
	"unsafe"
)

// ErrClosed says that the platform does not take or give more: the caller is gone, or a limit was met.
var ErrClosed = errors.New("the exchange is closed")

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

func pointer(p []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p)) }

// RequestHead returns the head of the request, in buf where it fits.
func RequestHead(buf []byte) ([]byte, error) {
	for {
		n := requestHead(pointer(buf), uint32(len(buf)))
		switch {
		case n < 0:
			return nil, ErrClosed
		case int(n) <= len(buf):
			return buf[:n], nil
		}
		buf = make([]byte, n)
	}
}

// Body reads the body of the request.
type Body struct{}

// Read implements io.Reader.
func (Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	switch n := requestBody(pointer(p), uint32(len(p))); {
	case n < 0:
		return 0, ErrClosed
	case n == 0:
		return 0, io.EOF
	default:
		return int(n), nil
	}
}

// Close implements io.Closer.
func (Body) Close() error { return nil }

// ResponseHead begins the response: a line with the status code, then header lines.
func ResponseHead(head []byte) error { return closed(responseHead(pointer(head), uint32(len(head)))) }

// ResponseBody sends a part of the body.
func ResponseBody(p []byte) error { return closed(responseBody(pointer(p), uint32(len(p)))) }

// ResponseFlush sends on what is held back.
func ResponseFlush() error { return closed(responseFlush()) }

func closed(n int32) error {
	if n < 0 {
		return ErrClosed
	}
	return nil
}
