package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// overHTTP2 has the exchange with the copy in HTTP/2, through the client of net/http.
func (c *call) overHTTP2(ep *activator.Endpoint) error {
	t := ep.Aux(func() io.Closer { return newCopyTransport(ep) }).(*copyTransport)
	resp, err := t.RoundTrip(c.outgoing())
	if err != nil {
		if cause := context.Cause(c.ctx); cause != nil {
			return cause
		}
		return err
	}
	defer resp.Body.Close()
	c.function = resp.Header.Get(functionField)
	h := c.w.Header()
	for name, values := range resp.Header {
		if id := identify([]byte(name)); id == other || !hopByHop(id) || id == hContentLength && c.keepsLength(resp) {
			h[name] = values
		}
	}
	if len(resp.Trailer) > 0 {
		h["Trailer"] = announced(resp.Trailer)
	}
	c.writeHead(resp.StatusCode)
	return c.copyStream(resp)
}

// keepsLength reports whether the answer tells its length: HTTP/1.1 has trailers only after chunks.
func (c *call) keepsLength(resp *http.Response) bool {
	return c.r.ProtoMajor > 1 || len(resp.Trailer) == 0
}

func announced(trailer http.Header) []string {
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		names = append(names, name)
	}
	return names
}

// outgoing is the request as the copy gets it.
func (c *call) outgoing() *http.Request {
	host, path := c.rewritten()
	u := &url.URL{Scheme: "http", Host: "copy", Path: path, RawPath: path, RawQuery: c.r.URL.RawQuery, ForceQuery: c.r.URL.ForceQuery}
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path = plain
	}
	out := &http.Request{Method: c.r.Method, URL: u, Host: host, Header: make(http.Header, len(c.r.Header)+6)}
	c.fields(func(name, value string) { out.Header[name] = append(out.Header[name], value) })
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // net/http would give its own
	}
	if c.body != nil {
		out.Body, out.ContentLength, out.Trailer = c.body, c.r.ContentLength, c.r.Trailer
	}
	return out.WithContext(httptrace.WithClientTrace(c.ctx, &httptrace.ClientTrace{Got1xxResponse: c.interim}))
}

// interim forwards an answer before the real one; the client of net/http waits for it.
func (c *call) interim(code int, header textproto.MIMEHeader) error {
	if code == http.StatusContinue || !c.r.ProtoAtLeast(1, 1) {
		return nil
	}
	h := c.w.Header()
	for name, values := range header {
		h[name] = values
	}
	c.w.WriteHeader(code)
	clear(h)
	return nil
}

// copyStream forwards the body of the answer, and shows the client each part when it comes.
func (c *call) copyStream(resp *http.Response) error {
	if resp.Body != http.NoBody && resp.ContentLength < 0 {
		if err := c.flush(); err != nil {
			return err
		}
	}
	pooled := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(pooled)
	buf := (*pooled)[:cap(*pooled)]
	for left := resp.ContentLength; ; {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, err := c.w.Write(buf[:n]); err != nil {
				return errClientGone
			}
			// With the last part goes the end of the stream.
			if left -= int64(n); left != 0 && err == nil {
				if err := c.flush(); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return c.lateTrailers(resp.Trailer)
		}
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
	}
}

// lateTrailers writes the trailers that have come with the end of the answer.
func (c *call) lateTrailers(trailer http.Header) error {
	for name, values := range trailer {
		for _, v := range values {
			c.trailer(name, v)
		}
	}
	if len(trailer) > 0 && c.r.ProtoMajor == 1 {
		return c.flush() // HTTP/1.1 has trailers only after chunks
	}
	return nil
}

// copyTransport has the HTTP/2 connections of net/http to one copy.
type copyTransport struct{ *http.Transport }

// Close ends the idle ones.
func (t *copyTransport) Close() error {
	t.CloseIdleConnections()
	return nil
}

func newCopyTransport(ep *activator.Endpoint) *copyTransport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &copyTransport{&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			limited, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			nc, err := ep.Dial(limited)
			if err != nil && ctx.Err() != nil {
				return nil, err // it was not the copy that failed
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %w", activator.ErrUnreachable, err)
			}
			return nc, nil
		},
		Protocols:           protocols,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute,
	}}
}
