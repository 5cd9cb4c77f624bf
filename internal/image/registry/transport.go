package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Transport reaches the registry without a port: it hands every request to the handler, whatever host the URL names.
// Bodies are streamed. Closing the body of a response ends the request, and waits for its end.
func (r *Registry) Transport() http.RoundTripper { return inProcess{r} }

type inProcess struct{ handler http.Handler }

// RoundTrip runs the handler in a goroutine that ends before the response's body is closed.
func (t inProcess) RoundTrip(q *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(q.Context())
	received := q.Clone(ctx)
	if received.Body == nil {
		received.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	a := &answer{header: http.Header{}, pipe: pw, began: make(chan struct{}), ended: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(ctx.Err()) })
	go func() {
		defer close(a.ended)
		defer stop()
		defer received.Body.Close()
		a.serve(t.handler, received)
	}()
	body := &answerBody{PipeReader: pr, cancel: cancel, ended: a.ended}
	select {
	case <-a.began:
	case <-ctx.Done():
		body.Close()
		return nil, ctx.Err()
	}
	return &http.Response{
		StatusCode: a.status, Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: body, ContentLength: contentLength(a.sent), Request: q,
	}, nil
}

func contentLength(h http.Header) int64 {
	var n int64
	if _, err := fmt.Sscan(h.Get("Content-Length"), &n); err != nil {
		return -1
	}
	return n
}

// answer is the http.ResponseWriter of one request.
type answer struct {
	header, sent http.Header
	status       int
	pipe         *io.PipeWriter
	once         sync.Once
	began, ended chan struct{}
}

func (a *answer) serve(h http.Handler, q *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			a.WriteHeader(http.StatusInternalServerError)
			a.pipe.CloseWithError(fmt.Errorf("the registry failed: %v", p))
		}
	}()
	h.ServeHTTP(a, q)
	a.WriteHeader(http.StatusOK)
	a.pipe.Close()
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.began)
	})
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.pipe.Write(p)
}

// answerBody ends the handler when it is closed.
type answerBody struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

func (b *answerBody) Close() error {
	err := b.PipeReader.Close()
	b.cancel()
	<-b.ended
	return err
}
