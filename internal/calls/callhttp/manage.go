package callhttp

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/calls"
)

// Manage serves calls to those who may see and change all of a namespace; who that is was decided before.
//
//	GET    /ofn/v1/namespaces/{namespace}/calls              ?function=&state=&since=&until=&limit=&continue=  a page, the newest first
//	GET    /ofn/v1/namespaces/{namespace}/calls?watch=true   the changes from now on, a JSON document a line
//	GET    /ofn/v1/namespaces/{namespace}/calls/{id}         ?wait=
//	GET    /ofn/v1/namespaces/{namespace}/calls/{id}/result  ?wait=
//	POST   /ofn/v1/namespaces/{namespace}/calls/{id}/cancel
//	POST   /ofn/v1/namespaces/{namespace}/calls/{id}/redrive
//	DELETE /ofn/v1/namespaces/{namespace}/calls/{id}         of one that has ended
func (f *Front) Manage() http.Handler {
	const base = "/ofn/v1/namespaces/{namespace}/calls"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base, f.list)
	mux.HandleFunc("GET "+base+"/{id}", f.one(func(w http.ResponseWriter, r *http.Request, c *calls.Calls, id string) { f.read(w, r, c, id, "") }))
	mux.HandleFunc("GET "+base+"/{id}/result", f.one(func(w http.ResponseWriter, r *http.Request, c *calls.Calls, id string) { f.read(w, r, c, id, "result") }))
	mux.HandleFunc("POST "+base+"/{id}/cancel", f.one(f.change((*calls.Calls).Cancel)))
	mux.HandleFunc("POST "+base+"/{id}/redrive", f.one(f.change((*calls.Calls).Redrive)))
	mux.HandleFunc("DELETE "+base+"/{id}", f.one(func(w http.ResponseWriter, r *http.Request, c *calls.Calls, id string) {
		if err := c.Delete(r.Context(), id); err != nil {
			f.fail(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	return mux
}

// one finds the call of a request in its namespace.
func (f *Front) one(do func(http.ResponseWriter, *http.Request, *calls.Calls, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := f.o.Open(r.Context())
		id := r.PathValue("id")
		if err == nil {
			var got *calls.Result
			if got, err = c.Get(r.Context(), id); err == nil && got.Function.Namespace != r.PathValue("namespace") {
				err = calls.ErrNotFound
			}
		}
		if err != nil {
			f.fail(w, err)
			return
		}
		do(w, r, c, id)
	}
}

// change does something to a call and tells how it stands then.
func (f *Front) change(do func(*calls.Calls, context.Context, string) error) func(http.ResponseWriter, *http.Request, *calls.Calls, string) {
	return func(w http.ResponseWriter, r *http.Request, c *calls.Calls, id string) {
		if err := do(c, r.Context(), id); err != nil {
			f.fail(w, err)
			return
		}
		f.status(w, r, c, id)
	}
}

func (f *Front) list(w http.ResponseWriter, r *http.Request) {
	q, err := query(r)
	var c *calls.Calls
	if err == nil {
		c, err = f.o.Open(r.Context())
	}
	if err != nil {
		f.fail(w, err)
		return
	}
	if r.URL.Query().Get("watch") == "true" {
		f.watch(w, r, c, q)
		return
	}
	page, err := c.List(q)
	if err != nil {
		f.fail(w, err)
		return
	}
	answer(w, http.StatusOK, page)
}

// watch streams changes until the client goes.
func (f *Front) watch(w http.ResponseWriter, r *http.Request, c *calls.Calls, q calls.Query) {
	changes, err := c.Watch(q)
	if err != nil {
		f.fail(w, err)
		return
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()                                        // a client that is gone ends the request
	_ = changes.Run(r.Context(), func(s calls.Summary) error { // the client sees the end either way
		if err := encode(w, s); err != nil {
			return err
		}
		return control.Flush()
	})
}

func query(r *http.Request) (q calls.Query, err error) {
	v := r.URL.Query()
	q = calls.Query{Namespace: r.PathValue("namespace"), Function: v.Get("function"), Continue: v.Get("continue")}
	for _, list := range v["state"] {
		for s := range strings.SplitSeq(list, ",") {
			state, err := calls.ParseState(s)
			if err != nil {
				return q, err
			}
			q.States = append(q.States, state)
		}
	}
	if s := v.Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 {
			return q, invalid("limit=%q is not a number of calls", s)
		}
	}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if s := v.Get(name); s != "" {
			if *into, err = time.Parse(time.RFC3339, s); err != nil {
				return q, invalid("%s=%q is not an RFC 3339 time", name, s)
			}
		}
	}
	return q, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", calls.ErrInvalid, fmt.Sprintf(format, args...))
}
