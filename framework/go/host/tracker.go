package host

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// tracker knows whether a response has begun and whether its connection was taken over.
type tracker struct {
	http.ResponseWriter
	drain           *drain
	function        string // see Serving
	wrote, hijacked bool
}

func (t *tracker) serving(function string) { t.function = function }

// writer has the optional interfaces of the writers of net/http: those of HTTP/1 (Flusher, Hijacker, ReaderFrom), or that of
// HTTP/2 (Flusher); http.ResponseController reaches the rest.
func (t *tracker) writer() http.ResponseWriter {
	_, hijacks := t.ResponseWriter.(http.Hijacker)
	_, reads := t.ResponseWriter.(io.ReaderFrom)
	_, flushes := t.ResponseWriter.(http.Flusher)
	switch {
	case hijacks && reads && flushes:
		return &http1Tracker{t}
	case flushes:
		return &flushTracker{t}
	}
	return t
}

// Unwrap serves http.ResponseController.
func (t *tracker) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *tracker) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols { // others are informational: the response is still to come
		t.wrote = true
	}
	t.ResponseWriter.WriteHeader(code)
}

func (t *tracker) Write(p []byte) (int, error) {
	t.wrote = true
	return t.ResponseWriter.Write(p)
}

func (t *tracker) WriteString(s string) (int, error) {
	t.wrote = true
	return io.WriteString(t.ResponseWriter, s)
}

type flushTracker struct{ *tracker }

func (t *flushTracker) Flush() {
	t.wrote = true
	t.ResponseWriter.(http.Flusher).Flush()
}

type http1Tracker struct{ *tracker }

func (t *http1Tracker) Flush() {
	t.wrote = true
	t.ResponseWriter.(http.Flusher).Flush()
}

func (t *http1Tracker) ReadFrom(r io.Reader) (int64, error) {
	t.wrote = true
	return t.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
}

func (t *http1Tracker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := t.ResponseWriter.(http.Hijacker).Hijack()
	if err == nil {
		t.wrote, t.hijacked = true, true
		t.drain.hijacked.Add(1)
	}
	return conn, rw, err
}
