package context

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
)

// PanicError is the error of a call whose function panicked.
type PanicError struct {
	// Value is what panic was called with.
	Value any
}

// Error tells the value.
func (e *PanicError) Error() string { return fmt.Sprintf("function panicked: %v", e.Value) }

// Unwrap returns the value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// ResponseWriterWrapper remembers the status of a response, for plugins.
type ResponseWriterWrapper struct {
	http.ResponseWriter
	status  int
	written bool
}

// NewResponseWriterWrapper wraps w; statusCode is what Status says as long as nothing was written.
func NewResponseWriterWrapper(w http.ResponseWriter, statusCode int) *ResponseWriterWrapper {
	return &ResponseWriterWrapper{ResponseWriter: w, status: statusCode}
}

// Status is the status of the response.
func (rww *ResponseWriterWrapper) Status() int { return rww.status }

// Written tells whether the response has begun.
func (rww *ResponseWriterWrapper) Written() bool { return rww.written }

// Unwrap serves http.ResponseController.
func (rww *ResponseWriterWrapper) Unwrap() http.ResponseWriter { return rww.ResponseWriter }

// Header returns the header of the response.
func (rww *ResponseWriterWrapper) Header() http.Header { return rww.ResponseWriter.Header() }

// WriteHeader begins the response, unless statusCode is informational.
func (rww *ResponseWriterWrapper) WriteHeader(statusCode int) {
	if !rww.written && (statusCode >= http.StatusOK || statusCode == http.StatusSwitchingProtocols) {
		rww.status, rww.written = statusCode, true
	}
	rww.ResponseWriter.WriteHeader(statusCode)
}

// Write writes to the body.
func (rww *ResponseWriterWrapper) Write(bytes []byte) (int, error) {
	rww.begin()
	return rww.ResponseWriter.Write(bytes)
}

// ReadFrom lets the server copy files without a detour.
func (rww *ResponseWriterWrapper) ReadFrom(r io.Reader) (int64, error) {
	rww.begin()
	return io.Copy(rww.ResponseWriter, r)
}

// Flush sends what was written; it does nothing when the server cannot.
func (rww *ResponseWriterWrapper) Flush() {
	if f, ok := rww.ResponseWriter.(http.Flusher); ok {
		rww.begin()
		f.Flush()
	}
}

// Hijack takes the connection over; it fails with http.ErrNotSupported when the server cannot give it.
func (rww *ResponseWriterWrapper) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := rww.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, http.ErrNotSupported
	}
	rww.written = true
	return h.Hijack()
}

func (rww *ResponseWriterWrapper) begin() {
	if !rww.written {
		rww.status, rww.written = http.StatusOK, true
	}
}
