package gateway

import (
	"io"
	"net/http"
	"sync/atomic"
)

// watchedBody is a request body of net/http that survives an attempt which did not read it, and whose Close ends a Read
// that waits for the client: a copy may have answered before the request ended.
type watchedBody struct {
	r        io.ReadCloser
	breakOff func() error
	touched  atomic.Bool
	ended    atomic.Bool
}

// watchBody wraps the body of r, if it has one.
func watchBody(w http.ResponseWriter, r *http.Request) *watchedBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	b := &watchedBody{r: r.Body}
	if r.ProtoMajor > 1 {
		b.breakOff = r.Body.Close
		return b
	}
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // fails only where it needs no enabling
	b.breakOff = func() error { return rc.SetReadDeadline(past) }
	return b
}

// unfinished reports whether the client may still be sending.
func (b *watchedBody) unfinished() bool { return b != nil && !b.ended.Load() }

// Read reads the client's body.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.touched.Store(true)
	n, err := b.r.Read(p)
	if err == io.EOF {
		b.ended.Store(true)
	}
	return n, err
}

// Close breaks off a body that was begun and not ended.
func (b *watchedBody) Close() error {
	if b.touched.Load() && b.unfinished() {
		return b.breakOff()
	}
	return nil
}
