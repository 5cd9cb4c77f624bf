package engine

import (
	"io"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
)

// handler serves one function, whatever its signature.
func (c *caller) handler(f *registry.Function) http.Handler {
	switch {
	case f.HTTP != nil:
		return c.httpFunction(f)
	case f.CloudEvent != nil:
		return c.cloudEventFunction(f)
	}
	return c.openFunctionOverHTTP(f)
}

func (c *caller) httpFunction(f *registry.Function) http.Handler {
	if c.bare() {
		return http.HandlerFunc(f.HTTP)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call, rw := c.begin(w, r)
		c.run(call, func() {
			defer func() { call.WithOut(ofctx.NewFunctionOut().WithCode(rw.Status())) }()
			f.HTTP(call.SyncRequest.ResponseWriter, request(call))
		})
	})
}

// begin makes the context of a call over HTTP.
func (c *caller) begin(w http.ResponseWriter, r *http.Request) (*ofctx.FunctionContext, *ofctx.ResponseWriterWrapper) {
	call, rw := c.base.NewCall(r.Context()), ofctx.NewResponseWriterWrapper(w, http.StatusOK)
	call.SetSyncRequest(rw, r)
	return call, rw
}

// request is the request with the context that hooks may have replaced.
func request(call *ofctx.FunctionContext) *http.Request {
	r := call.SyncRequest.Request
	if native := call.GetNativeContext(); native != r.Context() {
		return r.WithContext(native)
	}
	return r
}

func (c *caller) openFunctionOverHTTP(f *registry.Function) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call, rw := c.begin(w, r)
		data, err := readInput(call, r)
		if err != nil {
			http.Error(w, "the request cannot be read: "+err.Error(), http.StatusBadRequest)
			return
		}
		c.run(call, func() { c.openFunction(call, f, data) })
		c.answer(rw, call, f)
	})
}

// readInput returns the data of a CloudEvent, or the body of any other request, which becomes the data of an event too.
func readInput(call *ofctx.FunctionContext, r *http.Request) ([]byte, error) {
	message := cehttp.NewMessageFromHttpRequest(r)
	switch message.ReadEncoding() {
	case binding.EncodingStructured, binding.EncodingBinary:
		e, err := binding.ToEvent(r.Context(), message)
		if err != nil {
			return nil, err
		}
		if err := e.Validate(); err != nil {
			return nil, err
		}
		call.SetEvent("", e)
		return e.Data(), nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e := event.New()
	contentType := r.Header.Get("Content-Type")
	if contentType == "" {
		contentType = event.ApplicationJSON
	}
	_ = e.SetData(contentType, body) // bytes are taken as they are
	call.SetEvent("", &e)
	return body, nil
}

// answer writes the result of an OpenFunction function, unless it wrote an answer of its own.
func (c *caller) answer(w *ofctx.ResponseWriterWrapper, call *ofctx.FunctionContext, f *registry.Function) {
	code, data := result(call)
	failed := code >= http.StatusBadRequest
	if call.Error != nil {
		id := host.NewErrorID()
		c.log.Error("function failed", "id", id, "function", f.Name, "code", code, "error", call.Error.Error())
		if !w.Written() {
			w.Header().Set(host.ErrorIDHeader, id)
		}
		if len(data) == 0 && failed {
			data = []byte(http.StatusText(code) + ", id " + id + "\n")
		}
	}
	if !w.Written() {
		w.Header().Set(host.StatusHeader, map[bool]string{false: "success", true: "error"}[failed])
		w.WriteHeader(code)
	}
	if code != http.StatusNoContent && code != http.StatusNotModified {
		_, _ = w.Write(data) // a client that has gone is told nothing
	}
}

// result is the status and body the function chose. No code means 200; an error makes anything below 400 a 500, and so
// does a code that is no final HTTP status.
func result(call *ofctx.FunctionContext) (code int, data []byte) {
	if call.Out != nil {
		code, data = call.Out.GetCode(), call.Out.GetData()
	}
	switch {
	case call.Error != nil && code < http.StatusBadRequest:
		return http.StatusInternalServerError, data
	case code == 0:
		return http.StatusOK, data
	case code < 200 || code > 599:
		return http.StatusInternalServerError, data
	}
	return code, data
}
