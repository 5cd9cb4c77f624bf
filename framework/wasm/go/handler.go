//go:build wasip1

package wasmfn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"

	"github.com/openfunction/ofn/framework/wasm/go/abi"
)

// state is what there is between requests: the function, and a buffer for heads.
var state = struct {
	handler http.Handler
	buf     []byte
}{buf: make([]byte, 4096)}

// Handle makes h the function. Call it in an init function: main does not run in a handler.
func Handle(h http.Handler) { state.handler = h }

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
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "reading the request:", err)
		return 2
	}
	r.Body, r.TransferEncoding = abi.Body{}, nil
	if state.handler == nil {
		fmt.Fprintln(os.Stderr, "no function: call wasmfn.Handle in an init function")
		return 3
	}
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
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %s\r\n", code, http.StatusText(code))
	_ = w.header.Write(&b)
	_ = abi.ResponseHead(b.Bytes())
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
