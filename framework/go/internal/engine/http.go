package engine

import (
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"

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
	case f.Typed != nil:
		return c.typedFunction(f)
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
	call, rw := c.base.NewCall(host.WithRequest(r.Context(), r)), ofctx.NewResponseWriterWrapper(w, http.StatusOK)
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
		body, no := c.readBody(w, r)
		if no != nil {
			no.write(w)
			return
		}
		call, rw := c.begin(w, r)
		data, no := setInput(call, r.Header, body)
		if no != nil {
			no.write(w)
			return
		}
		c.run(call, func() { c.openFunction(call, f, data) })
		c.answer(rw, call, f)
	})
}

// setInput makes an event of the call, and returns its data: those of a CloudEvent, otherwise the body.
func setInput(call *ofctx.FunctionContext, h http.Header, body []byte) ([]byte, *refusal) {
	if m := modeOf(h); m == binaryMode || m == structuredMode {
		events, no := readEvents(m, h, body)
		if no != nil {
			return nil, no
		}
		call.SetEvent("", &events[0])
		return events[0].Data(), nil
	}
	e := event.New()
	contentType := h.Get("Content-Type")
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
	var id string
	if call.Error != nil {
		id = host.Failure{Function: f.Name, Cause: call.Error.Error()}.Log(c.log, call.SyncRequest.Request, "code", code)
	}
	if w.Written() {
		_, _ = w.Write(data) // a client that has gone is told nothing
		return
	}
	status := "success"
	if code >= http.StatusBadRequest {
		status = "error"
	}
	if id != "" && len(data) == 0 {
		host.WriteFailure(w, code, status, id)
		return
	}
	if id != "" {
		w.Header().Set(host.ErrorIDHeader, id)
	}
	w.Header().Set(host.StatusHeader, status)
	w.WriteHeader(code)
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
