package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/dapr/dapr/pkg/messages"
	"github.com/dapr/dapr/pkg/messages/errorcodes"
	"google.golang.org/grpc/codes"

	"github.com/openfunction/ofn/internal/event"
)

// request is one request to the HTTP API.
type request struct {
	*caller
	w http.ResponseWriter
	r *http.Request
	route
}

// serveHTTP is the HTTP API of all apps.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	app, ok := r.Context().Value(appKey{}).(event.Name)
	if !ok {
		http.Error(w, "the connection is of no function", http.StatusUnauthorized)
		return
	}
	path, isAPI, err := parsePath(r.URL.EscapedPath())
	q := &request{s.caller(app), w, r, path}
	if err != nil {
		q.fail(badRequest(err))
		return
	}
	if path.block != "healthz" && !s.admitted(app, r.Header.Get("dapr-api-token")) {
		http.Error(w, "invalid api token", http.StatusUnauthorized)
		return
	}
	if path.block != "invoke" && isAPI && r.Header.Get("dapr-app-id") == "" {
		r.Body = http.MaxBytesReader(w, r.Body, int64(s.o.MaxBody))
	}
	if err := q.serve(isAPI); err != nil {
		q.fail(err)
	}
}

func (q *request) fail(err error) {
	code, body := answer(err)
	q.w.Header().Set("Content-Type", "application/json")
	q.w.WriteHeader(code)
	_, _ = q.w.Write(body)
}

// done answers without a body.
func (q *request) done(err error) error {
	if err == nil {
		q.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// json answers a document.
func (q *request) json(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return q.data(body)
}

func (q *request) data(body []byte) error {
	if q.w.Header().Get("Content-Type") == "" {
		q.w.Header().Set("Content-Type", "application/json")
	}
	_, _ = q.w.Write(body)
	return nil
}

// read decodes the body.
func (q *request) read(into any) error {
	if err := json.NewDecoder(q.r.Body).Decode(into); err != nil {
		return badRequest(err)
	}
	return nil
}

func (q *request) body() ([]byte, error) {
	b, err := io.ReadAll(q.r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, badRequest(err)
		}
		return nil, messages.ErrBodyRead.WithFormat(err)
	}
	return b, nil
}

// queryMetadata are the query's parameters metadata.NAME.
func (q *request) queryMetadata() map[string]string {
	m := map[string]string{}
	for k, v := range q.r.URL.Query() {
		if name, ok := strings.CutPrefix(k, "metadata."); ok && len(v) > 0 {
			m[name] = v[0]
		}
	}
	return m
}

func (q *request) trace() trace {
	return trace{q.r.Header.Get("traceparent"), q.r.Header.Get("tracestate")}
}

// unoffered are blocks that only a real daprd has.
var unoffered = map[string]string{
	"actors": "the actors API", "workflows": "the workflow API", "jobs": "the jobs API", "lock": "the distributed lock API",
	"unlock": "the distributed lock API", "crypto": "the cryptography API", "subtlecrypto": "the cryptography API", "conversation": "the conversation API",
}

func (q *request) serve(isAPI bool) error {
	if !isAPI || q.block == "invoke" || q.r.Header.Get("dapr-app-id") != "" {
		return q.invoke()
	}
	switch q.block {
	case "publish":
		return q.servePublish()
	case "bindings":
		return q.serveBinding()
	case "state":
		return q.serveState()
	case "secrets":
		return q.serveSecrets()
	case "configuration":
		return q.serveConfiguration()
	case "metadata":
		return q.serveMetadata()
	case "healthz":
		return q.done(nil)
	case "shutdown":
		return newFault(errorcodes.CommonBadRequest, http.StatusForbidden, codes.PermissionDenied, refusedShutdown)
	}
	if what, ok := unoffered[q.block]; ok {
		return notOffered(what)
	}
	return q.invoke()
}

// methods answers 405 unless the request has one of them.
func (q *request) methods(allowed ...string) error {
	for _, m := range allowed {
		if q.r.Method == m {
			return nil
		}
	}
	q.w.Header().Set("Allow", strings.Join(allowed, ", "))
	return newFault(errorcodes.CommonBadRequest, http.StatusMethodNotAllowed, codes.Unimplemented, "the method %s is not for this path: use %s", q.r.Method, strings.Join(allowed, " or "))
}
