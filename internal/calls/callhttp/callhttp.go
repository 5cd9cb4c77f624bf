// Package callhttp is calls over HTTP: requests that become calls, and what can be asked of calls afterwards, by the holder of an
// id at the gateway, and by who may at the control plane.
//
// At the gateway, which decides which requests come here:
//
//	any request with Prefer: respond-async      202, Location: /_ofn/calls/ID
//	ANY    /async/FUNCTION                      the same, of a function in the default namespace
//	ANY    /async/NAMESPACE/FUNCTION[/PATH]     the same
//	GET    /_ofn/calls/ID          ?wait=SECONDS  how the call stands, as JSON
//	GET    /_ofn/calls/ID/result   ?wait=SECONDS  the function's answer; 202 before the end
//	DELETE /_ofn/calls/ID                       cancels
//
// At the control plane, below /ofn/v1/namespaces/NAMESPACE/calls: see Manage.
package callhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/openfunction/ofn/internal/calls"
)

// Prefix is where the gateway serves what is asked of calls, under every host.
const Prefix = "/_ofn/calls/"

// maxWait bounds how long an answer waits for the end of a call.
const maxWait = time.Minute

// Opener gives the calls of the platform, which may have to be opened first.
type Opener func(ctx context.Context) (*calls.Calls, error)

// Options of a Front.
type Options struct {
	Open Opener
	// HostOf is the name under which the gateway knows a function.
	HostOf  func(calls.Name) string
	MaxBody int // bytes of a request: 4 MiB
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
}

// inFlight bounds the bytes of requests that are being read or written at once.
const inFlight = 128 << 20

// Front is what the gateway hands asynchronous requests to.
type Front struct {
	o      Options
	memory *semaphore.Weighted
}

// New is a Front over the calls that o opens.
func New(o Options) *Front {
	if o.MaxBody <= 0 {
		o.MaxBody = 4 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Front{o, semaphore.NewWeighted(max(inFlight, int64(o.MaxBody)))}
}

// Host is the name under which the gateway knows a function.
func (f *Front) Host(namespace, function string) string {
	return f.o.HostOf(calls.Name{Namespace: namespace, Name: function})
}

// accepted is the body of a 202.
type accepted struct {
	ID     string      `json:"id"`
	State  calls.State `json:"state"`
	Status string      `json:"status"` // path of it
	Result string      `json:"result"`
}

// Accept keeps the request as a call of the function and answers 202 when it is on disk. With "Prefer: wait=SECONDS" it answers
// with the result if that is there in time.
func (f *Front) Accept(w http.ResponseWriter, r *http.Request, namespace, function string) {
	c, err := f.o.Open(r.Context())
	if err != nil {
		f.fail(w, err)
		return
	}
	a, err := f.keep(w, r, c, calls.Name{Namespace: namespace, Name: function})
	if err != nil {
		f.fail(w, err)
		return
	}
	if preferred := preferredWait(r.Header); preferred > 0 && f.await(r.Context(), c, a.ID, preferred) {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(preferred/time.Second)))
		w.Header().Set(calls.HeaderID, a.ID)
		f.result(w, r, c, a.ID)
		return
	}
	h := w.Header()
	h.Set("Preference-Applied", "respond-async")
	h.Set("Location", Prefix+a.ID)
	h.Set(calls.HeaderID, a.ID)
	if a.Repeated {
		h.Set("Idempotency-Replayed", "true")
	}
	answer(w, http.StatusAccepted, accepted{a.ID, a.State, Prefix + a.ID, Prefix + a.ID + "/result"})
}

// keep reads a request and keeps it. What its body takes is given back then: whoever waits for the result does not keep others out.
func (f *Front) keep(w http.ResponseWriter, r *http.Request, c *calls.Calls, function calls.Name) (calls.Accepted, error) {
	size := r.ContentLength
	if size < 0 || size > int64(f.o.MaxBody) {
		size = int64(f.o.MaxBody)
	}
	if !f.memory.TryAcquire(size) {
		return calls.Accepted{}, fmt.Errorf("%w: too many are being accepted", calls.ErrFull)
	}
	defer f.memory.Release(size)
	call, err := calls.FromRequest(r, function, f.o.Now())
	if err == nil {
		call.Body, err = f.body(w, r)
	}
	if err != nil {
		return calls.Accepted{}, err
	}
	return c.Accept(r.Context(), call)
}

func (f *Front) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(f.o.MaxBody)))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, fmt.Errorf("%w: the body has more than %d bytes", calls.ErrTooLarge, f.o.MaxBody)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading the body: %w", calls.ErrInvalid, err)
	}
	return body, nil
}

// Call answers what is asked of one call below Prefix. Under the host of a function its own calls are known, under others all:
// what one function answered must not be shown in the name of another.
func (f *Front) Call(w http.ResponseWriter, r *http.Request, namespace, function string) {
	id, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Prefix), "/")
	c, err := f.o.Open(r.Context())
	if err == nil {
		err = f.owned(r.Context(), c, id, calls.Name{Namespace: namespace, Name: function})
	}
	switch {
	case err != nil:
		f.fail(w, err)
	case what == "" && r.Method == http.MethodDelete:
		if err := c.Cancel(r.Context(), id); err != nil {
			f.fail(w, err)
			return
		}
		f.status(w, r, c, id)
	case what != "" && what != "result":
		f.fail(w, calls.ErrNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, DELETE")
		f.problem(w, http.StatusMethodNotAllowed, "a call is read with GET and cancelled with DELETE")
	default:
		f.read(w, r, c, id, what)
	}
}

func (f *Front) owned(ctx context.Context, c *calls.Calls, id string, function calls.Name) error {
	r, err := c.Get(ctx, id)
	if err == nil && function != (calls.Name{}) && r.Function != function {
		return calls.ErrNotFound
	}
	return err
}

func (f *Front) read(w http.ResponseWriter, r *http.Request, c *calls.Calls, id, what string) {
	if v := r.URL.Query().Get("wait"); v != "" {
		d, err := calls.ParseDuration(v)
		if err != nil {
			f.fail(w, err)
			return
		}
		f.await(r.Context(), c, id, d)
	}
	if what == "result" {
		f.result(w, r, c, id)
		return
	}
	f.status(w, r, c, id)
}

// await tells whether the call ended in time.
func (f *Front) await(ctx context.Context, c *calls.Calls, id string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, min(d, maxWait))
	defer cancel()
	return c.Wait(ctx, id) == nil
}

func (f *Front) status(w http.ResponseWriter, r *http.Request, c *calls.Calls, id string) {
	got, err := c.Get(r.Context(), id)
	if err != nil {
		f.fail(w, err)
		return
	}
	if !got.State.Ended() {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, http.StatusOK, got.Info)
}

// shown are the fields of a result that are shown. Others mean something to the host that they are shown under.
var shown = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Etag", "Last-Modified"}

// result answers as the function did.
func (f *Front) result(w http.ResponseWriter, r *http.Request, c *calls.Calls, id string) {
	got, err := c.Get(r.Context(), id)
	switch {
	case err != nil:
		f.fail(w, err)
		return
	case !got.State.Ended():
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Location", Prefix+id+"/result")
		answer(w, http.StatusAccepted, got.Info)
		return
	case got.Status == 0:
		f.problem(w, http.StatusGone, "the call is "+string(got.State)+" and has no result: "+got.Reason)
		return
	}
	h := w.Header()
	for _, name := range shown {
		if v := got.Header.Values(name); len(v) > 0 {
			h[name] = v
		}
	}
	for name, values := range got.Header {
		if strings.HasPrefix(name, "X-") && !strings.HasPrefix(name, "X-Frame") && !strings.HasPrefix(name, "X-Accel") || strings.HasPrefix(name, "Ce-") {
			h[name] = values
		}
	}
	harmless(h)
	h.Set(calls.HeaderID, id)
	h.Set("X-Openfunction-Call-State", string(got.State))
	if got.Truncated {
		h.Set("X-Openfunction-Result-Truncated", "true")
	}
	w.WriteHeader(got.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(got.Body) // a client that is gone wants nothing
	}
}

// harmless keeps a browser from doing anything with an answer but showing it.
func harmless(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "no-store")
}

// preferredWait is the wait of RFC 7240, in seconds.
func preferredWait(h http.Header) time.Duration {
	for _, v := range h.Values("Prefer") {
		for p := range strings.SplitSeq(v, ",") {
			p, _, _ = strings.Cut(p, ";")
			name, value, _ := strings.Cut(p, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			if n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 16); err == nil {
				return min(time.Duration(n)*time.Second, maxWait)
			}
		}
	}
	return 0
}

// answer writes JSON.
func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	answerAs(w, code, v)
}

// answerAs writes JSON whose type is set.
func answerAs(w http.ResponseWriter, code int, v any) {
	harmless(w.Header())
	w.WriteHeader(code)
	_ = encode(w, v) // a client that is gone wants nothing
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
