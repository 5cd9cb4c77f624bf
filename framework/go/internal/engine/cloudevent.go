package engine

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/uuid"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
)

// cloudEventFunction takes events in structured, binary and batch mode. The events of a batch are handled one after the other, all
// of them; the answer is that of the worst, or what they returned.
func (c *caller) cloudEventFunction(f *registry.Function) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch {
			w.Header().Set("Allow", "PATCH, POST, PUT")
			http.Error(w, "CloudEvents are sent with POST", http.StatusMethodNotAllowed)
			return
		}
		body, no := c.readBody(w, r)
		if no != nil {
			no.write(w)
			return
		}
		m := modeOf(r.Header)
		events, no := readEvents(m, r.Header, body)
		if no != nil {
			no.write(w)
			return
		}
		var worst outcome
		var replies []*event.Event
		for i := range events {
			o := c.cloudEvent(w, r, f, &events[i])
			if o.code > worst.code {
				worst = o
			}
			if o.reply != nil {
				replies = append(replies, o.reply)
			}
		}
		if len(replies) > 0 && worst.code < http.StatusBadRequest {
			writeReplies(w, m, replies)
			return
		}
		worst.write(w)
	})
}

// cloudEvent handles one event. A panic ends here, so that the other events of a batch are handled too.
func (c *caller) cloudEvent(w http.ResponseWriter, r *http.Request, f *registry.Function, e *event.Event) (o outcome) {
	call := c.base.NewCall(host.WithRequest(r.Context(), r))
	call.SetSyncRequest(w, r)
	call.SetEvent("", e)
	defer func() {
		if value := recover(); value == http.ErrAbortHandler {
			panic(value)
		} else if value != nil {
			failure := host.Failure{Function: f.Name, Cause: fmt.Sprint(value), Stack: string(debug.Stack())}
			o = outcome{code: http.StatusInternalServerError, kind: "crash", id: failure.Log(c.log, r, "event", e.ID())}
		}
	}()
	c.run(call, func() {
		reply, err := f.CloudEvent(call.GetNativeContext(), *e)
		o = judge(err)
		call.WithOut(ofctx.NewFunctionOut().WithCode(o.code))
		if o.code >= http.StatusBadRequest {
			call.WithError(err)
		} else if reply != nil {
			o.reply = completed(*reply, e, f.Name)
		}
	})
	if call.Error != nil {
		o.kind = "error"
		o.id = host.Failure{Function: f.Name, Cause: call.Error.Error()}.Log(c.log, r, "event", e.ID(), "code", o.code)
	}
	return o
}

// completed gives a reply what it must have.
func completed(reply event.Event, handled *event.Event, function string) *event.Event {
	if reply.Context == nil {
		reply = event.New()
	}
	reply.SetID(cmp.Or(reply.ID(), uuid.NewString()))
	reply.SetType(cmp.Or(reply.Type(), handled.Type()))
	reply.SetSource(cmp.Or(reply.Source(), "/"+function))
	return &reply
}

// outcome is the answer to one event.
type outcome struct {
	code  int
	text  string // written by the function for the sender
	kind  string // of failure: the value of host.StatusHeader
	id    string // under which the error is in the log
	reply *event.Event
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
	if o.id != "" && o.text == "" {
		host.WriteFailure(w, o.code, o.kind, o.id)
		return
	}
	if o.id != "" {
		w.Header().Set(host.ErrorIDHeader, o.id)
		w.Header().Set(host.StatusHeader, o.kind)
	}
	if o.text != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(o.code)
	if o.code != http.StatusNoContent && o.code != http.StatusNotModified {
		_, _ = w.Write([]byte(o.text)) // a client that has gone is told nothing
	}
}
