// Package nodeapi is the small HTTP API that one machine serves beside the Kubernetes API, behind the same authentication
// and RBAC (nonResourceURLs): the logs of functions and builds, calls of functions by name, asynchronous calls, and what is on event
// buses and among dead letters.
//
//	GET /ofn/v1/namespaces/{namespace}/functions/{name}/logs     ?follow&tail=&since=&revision=&replica=
//	GET /ofn/v1/namespaces/{namespace}/builders/{name}/logs      ?follow
//	ANY /ofn/v1/namespaces/{namespace}/functions/{name}/invoke/{path...}
//	ANY /ofn/v1/namespaces/{namespace}/calls/...                 Options.Calls
//	GET /ofn/v1/namespaces/{namespace}/webhook-key               of the webhooks that its calls and triggers send
//	GET  /ofn/v1/namespaces/{namespace}/buses/{bus}/events       ?topic=&follow=&since=&sequence=&all=&limit=, an Event a line
//	POST /ofn/v1/namespaces/{namespace}/buses/{bus}/events       ?topic=&key=&id=, a CloudEvent in binary mode
//	POST /ofn/v1/namespaces/{namespace}/buses/{bus}/replay       ?topic=&since=&until=&sequence=&all=&function=&totopic=
//	GET  /ofn/v1/namespaces/{namespace}/deadletters              ?kind=&from=&limit=&continue=
//	GET, DELETE /ofn/v1/namespaces/{namespace}/deadletters/{id}
//	POST /ofn/v1/namespaces/{namespace}/deadletters/{id}/redrive
package nodeapi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

// Prefix is where the API is mounted.
const Prefix = "/ofn/"

// LogQuery says which log of a function is wanted. Zero fields do not restrict.
type LogQuery struct {
	Namespace, Function, Revision, Replica string

	Tail   int
	Since  time.Time
	Follow bool
}

// Logs reads what functions and builds wrote. A build that left no log is fs.ErrNotExist.
type Logs interface {
	Function(ctx context.Context, q LogQuery) (io.ReadCloser, error)
	Build(ctx context.Context, namespace, builder string, follow bool) (io.ReadCloser, error)
}

// Options of the API.
type Options struct {
	Logs Logs
	// Gateway is the base URL of the gateway of this machine.
	Gateway *url.URL
	// Transport reaches it.
	Transport http.RoundTripper
	// ClusterDomain is that of the functions' internal names.
	ClusterDomain string
	Log           *slog.Logger

	// Calls serves what is below .../calls. Nil serves nothing there, as do the following.
	Calls       http.Handler
	Buses       Buses
	DeadLetters DeadLetters
	// WebhookKey is what the webhooks of a namespace are signed with.
	WebhookKey func(ctx context.Context, namespace string) ([]byte, error)
}

// New is the handler of everything under Prefix.
func New(o Options) http.Handler {
	h := &handler{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ofn/v1/namespaces/{namespace}/functions/{name}/logs", h.functionLogs)
	mux.HandleFunc("GET /ofn/v1/namespaces/{namespace}/builders/{name}/logs", h.buildLogs)
	mux.Handle("/ofn/v1/namespaces/{namespace}/functions/{name}/invoke/", h.invoke())
	h.events(mux)
	return mux
}

// events adds what the event half of the platform offers.
func (h *handler) events(mux *http.ServeMux) {
	const base = "/ofn/v1/namespaces/{namespace}/"
	if h.o.Calls != nil {
		mux.Handle(base+"calls", h.o.Calls)
		mux.Handle(base+"calls/", h.o.Calls)
	}
	if h.o.WebhookKey != nil {
		mux.HandleFunc("GET "+base+"webhook-key", h.webhookKey)
	}
	mux.HandleFunc("GET "+base+"buses/{bus}/events", h.withBus(h.tail))
	mux.HandleFunc("POST "+base+"buses/{bus}/events", h.withBus(h.publish))
	mux.HandleFunc("POST "+base+"buses/{bus}/replay", h.withBus(h.replay))
	if d := h.o.DeadLetters; d != nil {
		mux.HandleFunc("GET "+base+"deadletters", h.deadLetters)
		mux.HandleFunc("GET "+base+"deadletters/{id}", h.deadLetter)
		mux.HandleFunc("POST "+base+"deadletters/{id}/redrive", h.letterDo(d.Redrive))
		mux.HandleFunc("DELETE "+base+"deadletters/{id}", h.letterDo(d.Delete))
	}
}

// webhookKey tells the secret in the form of Standard Webhooks.
func (h *handler) webhookKey(w http.ResponseWriter, r *http.Request) {
	key, err := h.o.WebhookKey(r.Context(), r.PathValue("namespace"))
	if err != nil {
		h.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "whsec_%s\n", base64.StdEncoding.EncodeToString(key))
}

type handler struct{ o Options }

func (h *handler) functionLogs(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := LogQuery{Namespace: r.PathValue("namespace"), Function: r.PathValue("name"), Revision: v.Get("revision"),
		Replica: v.Get("replica"), Follow: v.Get("follow") == "true"}
	if s := v.Get("tail"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			http.Error(w, fmt.Sprintf("tail=%q is not a number of lines", s), http.StatusBadRequest)
			return
		}
		q.Tail = n
	}
	if s := v.Get("since"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			http.Error(w, fmt.Sprintf("since=%q is not an RFC 3339 time", s), http.StatusBadRequest)
			return
		}
		q.Since = t
	}
	log, err := h.o.Logs.Function(r.Context(), q)
	h.stream(w, r, log, err)
}

func (h *handler) buildLogs(w http.ResponseWriter, r *http.Request) {
	log, err := h.o.Logs.Build(r.Context(), r.PathValue("namespace"), r.PathValue("name"), r.URL.Query().Get("follow") == "true")
	h.stream(w, r, log, err)
}

// stream copies a log to the client, line by line as it grows.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, log io.ReadCloser, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "there is no such log", http.StatusNotFound)
		return
	case err != nil:
		h.o.Log.Error("reading a log", "path", r.URL.Path, "err", err)
		http.Error(w, "internal error: the log cannot be read", http.StatusInternalServerError)
		return
	}
	defer log.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	control := http.NewResponseController(w)
	if control.Flush() != nil { // a log that is still empty is an answer too
		return
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := log.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
			if control.Flush() != nil {
				return
			}
		}
		if err != nil {
			return // the end, or a reader that broke: the client sees the end either way
		}
	}
}

// invoke forwards to the gateway under the function's internal name, so that a caller needs neither its DNS nor its port.
func (h *handler) invoke() http.Handler {
	return &httputil.ReverseProxy{
		Transport:     h.o.Transport,
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			namespace, name := p.In.PathValue("namespace"), p.In.PathValue("name")
			p.SetURL(h.o.Gateway)
			prefix := "/ofn/v1/namespaces/" + namespace + "/functions/" + name + "/invoke"
			p.Out.URL.Path, p.Out.URL.RawPath = p.In.URL.Path[len(prefix):], ""
			p.Out.Host = name + "." + namespace + ".svc." + h.o.ClusterDomain
			p.Out.Header.Del("Authorization") // it was for this API, not for the function
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			h.o.Log.Error("calling a function through the gateway", "path", r.URL.Path, "err", err)
			http.Error(w, "the gateway cannot be reached", http.StatusBadGateway)
		},
	}
}
