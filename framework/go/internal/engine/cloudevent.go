package engine

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
)

// cloudEventFunction takes events in structured, binary and batch mode. The events of a batch are handled one after the other, all
// of them; the answer is that of the worst.
func (c *caller) cloudEventFunction(f *registry.Function) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch {
			w.Header().Set("Allow", "PATCH, POST, PUT")
			http.Error(w, "CloudEvents are sent with POST", http.StatusMethodNotAllowed)
			return
		}
		events, code, err := readEvents(r)
		if err != nil {
			http.Error(w, err.Error(), code)
			return
		}
		var worst outcome
		for i := range events {
			if o := c.cloudEvent(w, r, f, &events[i]); o.code > worst.code {
				worst = o
			}
		}
		worst.write(w)
	})
}

// readEvents returns the events of a request, all of them valid, or an error for the sender and its status.
func readEvents(r *http.Request) ([]event.Event, int, error) {
	var events []event.Event
	var err error
	if cehttp.IsHTTPBatch(r.Header) {
		events, err = cehttp.NewEventsFromHTTPRequest(r)
	} else {
		var e *event.Event
		if e, err = binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r)); err == nil {
			events = []event.Event{*e}
		}
	}
	if errors.Is(err, binding.ErrUnknownEncoding) {
		return nil, http.StatusUnsupportedMediaType, errors.New("the request is not a CloudEvent: send the ce- headers, " +
			"or the content type application/cloudevents+json or application/cloudevents-batch+json")
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("the CloudEvent cannot be read: %w", err)
	}
	for i, e := range events {
		if err := e.Validate(); err != nil {
			return nil, http.StatusBadRequest, fmt.Errorf("CloudEvent %d of %d is not valid: %s", i+1, len(events),
				strings.TrimSpace(err.Error()))
		}
	}
	return events, 0, nil
}

func (c *caller) cloudEvent(w http.ResponseWriter, r *http.Request, f *registry.Function, e *event.Event) outcome {
	call := c.base.NewCall(r.Context())
	call.SetSyncRequest(w, r)
	call.SetEvent("", e)
	var o outcome
	c.run(call, func() {
		err := f.CloudEvent(call.GetNativeContext(), *e)
		o = judge(err)
		call.WithOut(ofctx.NewFunctionOut().WithCode(o.code))
		if o.code >= http.StatusBadRequest {
			call.WithError(err)
		}
	})
	if call.Error != nil {
		o.id = host.NewErrorID()
		c.log.Error("function failed", "id", o.id, "function", f.Name, "event", e.ID(), "code", o.code, "error", call.Error.Error())
	}
	return o
}

// outcome is the answer to one event.
type outcome struct {
	code int
	text string // written by the function for the sender
	id   string // under which the error is in the log
}

// judge is the answer to an event whose function returned err: the status of a result of the CloudEvents SDK with its text, 200
// for nil and acknowledgements, and otherwise 500 without the text, which was not written for the sender.
func judge(err error) outcome {
	var res *cehttp.Result
	switch {
	case err == nil:
		return outcome{code: http.StatusOK}
	case errors.As(err, &res) && res != nil && res.StatusCode >= 200 && res.StatusCode <= 599:
		return outcome{code: res.StatusCode, text: fmt.Errorf(res.Format, res.Args...).Error()}
	case protocol.IsACK(err):
		return outcome{code: http.StatusOK}
	}
	return outcome{code: http.StatusInternalServerError}
}

func (o outcome) write(w http.ResponseWriter) {
	if o.code == 0 { // an empty batch
		o.code = http.StatusOK
	}
	if o.id != "" {
		w.Header().Set(host.ErrorIDHeader, o.id)
		if o.text == "" {
			o.text = http.StatusText(o.code) + ", id " + o.id
		}
	}
	if o.text != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(o.code)
	if o.code != http.StatusNoContent && o.code != http.StatusNotModified {
		_, _ = w.Write([]byte(o.text)) // a client that has gone is told nothing
	}
}
