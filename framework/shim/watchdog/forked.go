package watchdog

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openfunction/ofn/framework/shim/fork"
	"github.com/openfunction/ofn/framework/shim/host"
)

// forked runs the program once for each call.
type forked struct {
	calls
	program fork.Program
	turns   *host.Slots // nil where max_inflight bounds
}

// Start implements host.Contract.
func (f *forked) Start(context.Context) error { return f.program.Find() }

// Serve implements host.Contract.
func (f *forked) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	var h http.Handler = f
	if f.turns != nil {
		h = f.turns.Limit(http.StatusServiceUnavailable, f)
	}
	return f.site(h, nil).Serve(ctx, l, grace)
}

// ServeHTTP runs the program once.
func (f *forked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.settings.ContentType != "" {
		w.Header().Set("Content-Type", f.settings.ContentType)
	}
	var env []string
	if f.settings.Variables {
		env = variables(r)
	}
	if f.settings.Mode == "streaming" {
		out := &fork.Stream{W: w}
		f.finish(w, r, f.program.Run(w, r, env, out), out.Begun)
		return
	}
	out := &fork.Buffer{Most: f.settings.MaxBody}
	began := time.Now()
	if err := f.program.Run(w, r, env, out); err != nil {
		f.finish(w, r, err, false)
		return
	}
	h := w.Header()
	h.Set("X-Duration-Seconds", strconv.FormatFloat(time.Since(began).Seconds(), 'f', 6, 64))
	h.Set("Content-Length", strconv.Itoa(out.Len()))
	_, _ = w.Write(out.Bytes()) // the caller went away
}

func (f *forked) finish(w http.ResponseWriter, r *http.Request, err error, begun bool) {
	switch {
	case err == nil:
	case errors.Is(err, fork.ErrGone):
		panic(http.ErrAbortHandler) // so that nobody takes what there is for an answer
	case begun:
		f.failures.Late(r, err)
		panic(http.ErrAbortHandler) // so that nobody takes the answer for whole
	case errors.Is(err, fork.ErrTimeout):
		f.failures.Late(r, err)
		host.Answer(w, http.StatusGatewayTimeout, "the function ran too long")
	default:
		f.failures.Crash(w, r, err)
	}
}

// variables are the Http_* variables of a call, "KEY=value".
func variables(r *http.Request) []string {
	env := []string{"Http_Method=" + r.Method, "Http_Path=" + r.URL.Path, "Http_Query=" + r.URL.RawQuery, "Http_Host=" + r.Host}
	if r.ContentLength >= 0 {
		n := strconv.FormatInt(r.ContentLength, 10)
		env = append(env, "Http_ContentLength="+n, "Http_Content_Length="+n)
	}
	if len(r.TransferEncoding) > 0 {
		env = append(env, "Http_Transfer_Encoding="+strings.Join(r.TransferEncoding, ","))
	}
	for k, v := range r.Header {
		if strings.Trim(k, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == "" {
			env = append(env, "Http_"+strings.ReplaceAll(k, "-", "_")+"="+strings.ReplaceAll(v[0], "\x00", ""))
		}
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		env = append(env, "Http_ContentType="+t)
	}
	return env
}
