//go:build wasip1

package wasmfn

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/openfunction/ofn/framework/wasm/go/abi"
)

// state is what there is between requests: the function, and a buffer for heads.
var state = struct {
	handler http.Handler
	buf     []byte
}{buf: make([]byte, 4096)}

// Handle makes h the function. Call it in an init function: main does not run in a handler.
func Handle(h http.Handler) {
	state.handler = h
	warm()
}

// warm goes the way of a request without the function and without the platform. Instances begin with the memory of one that was
// initialised, so that none has to do again what is done once.
func warm() {
	for range 3 {
		r, err := parse([]byte("GET / HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nUser-Agent: none\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"))
		if err != nil {
			return // requests will say so
		}
		w := &response{header: http.Header{"Content-Type": {r.UserAgent()}}}
		_ = w.head(http.StatusOK)
	}
}

// handle is called by the platform for each request, one after the other.
//
//go:wasmexport ofn_handle
func handle() (code int32) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", p, debug.Stack())
			code = 1
		}
	}()
	head, err := abi.RequestHead(state.buf)
	if err != nil {
		return 2
	}
	state.buf = head[:cap(head)]
	r, err := parse(head)
	if err != nil {
		fmt.Fprintln(os.Stderr, "reading the request:", err)
		return 2
	}
	if state.handler == nil {
		fmt.Fprintln(os.Stderr, "no function: call wasmfn.Handle in an init function")
		return 3
	}
	r.Body = abi.Body{}
	w := &response{header: http.Header{}}
	state.handler.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	return 0
}

// response implements http.ResponseWriter and http.Flusher.
type response struct {
	header http.Header
	began  bool
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(code int) {
	if w.began || code < 200 {
		return
	}
	w.began = true
	_ = abi.ResponseHead(w.head(code))
}

// head is the head of the response as the platform takes it.
func (w *response) head(code int) []byte {
	var b bytes.Buffer
	b.WriteString(strconv.Itoa(code))
	b.WriteString("\r\n")
	_ = w.header.Write(&b) // a buffer takes everything
	return b.Bytes()
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if err := abi.ResponseBody(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *response) Flush() {
	w.WriteHeader(http.StatusOK)
	_ = abi.ResponseFlush()
}

var (
	_ http.Flusher  = (*response)(nil)
	_ io.ReadCloser = abi.Body{}
)
