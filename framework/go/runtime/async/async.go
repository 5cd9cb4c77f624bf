// Package async is the side of a function that Dapr calls: the app channel, over gRPC and over HTTP on the same port. It
// tells the runtime which bindings and topics the function wants and turns each event into a call.
package async

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
)

// Call runs the function on an event, a *common.BindingEvent or a *common.TopicEvent of go-sdk. It does not panic. The
// error is what the function returned; out may be nil.
type Call func(ctx context.Context, inputName string, event any) (out ofctx.Out, err error)

// Server is the app channel of one function.
type Server struct {
	runtimev1.UnimplementedAppCallbackServer
	runtimev1.UnimplementedAppCallbackHealthCheckServer

	call     Call
	log      *slog.Logger
	bindings map[string]string // component -> input name
	topics   []topic
	grpc     *grpc.Server
	http     http.Handler
}

type topic struct {
	pubsub, name string
	input        string
	route        string // of the HTTP channel
	metadata     map[string]string
	dead         string // the topic of what is given up
}

// errRefused is told to Dapr for a code other than success; the function's own error stays in the log.
var errRefused = errors.New("the function failed")

// New makes the channel. Requests that are not Dapr's go to next.
func New(inputs map[string]*ofctx.Input, call Call, next http.Handler, log *slog.Logger) (*Server, error) {
	s := &Server{call: call, log: log, bindings: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		in := inputs[name]
		if in.GetType() == ofctx.OpenFuncBinding {
			s.bindings[in.ComponentName] = name
			continue
		}
		if in.Uri == "" {
			return nil, fmt.Errorf("input %q: component %q is a pubsub component but no topic is given for it", name, in.ComponentName)
		}
		s.topics = append(s.topics, topic{
			pubsub: in.ComponentName, name: in.Uri, input: name, route: s.route(in), metadata: in.Metadata, dead: in.DeadLetterTopic,
		})
	}
	s.grpc = grpc.NewServer()
	runtimev1.RegisterAppCallbackServer(s.grpc, s)
	runtimev1.RegisterAppCallbackHealthCheckServer(s.grpc, s)
	s.http = s.routes(next)
	return s, nil
}

// route is the path for events of a topic: its name, or the component too when the name is taken.
func (s *Server) route(in *ofctx.Input) string {
	short := "/" + strings.TrimPrefix(in.Uri, "/")
	_, taken := s.bindings[short[1:]]
	for _, t := range s.topics {
		taken = taken || t.route == short
	}
	if taken {
		return "/" + in.ComponentName + short
	}
	return short
}

// ServeHTTP takes gRPC and HTTP calls alike.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		s.grpc.ServeHTTP(w, r)
		return
	}
	s.http.ServeHTTP(w, r)
}

// verdict is what the broker of an event is told.
type verdict int

const (
	success verdict = iota
	retry           // deliver it again
	drop            // give it up: to the dead letters if there are any
)

// judge decides: a function that fails asks for redelivery with the metadata retry=true, otherwise the event is given up.
func judge(out ofctx.Out, err error) verdict {
	if err == nil && (out == nil || out.GetCode() < http.StatusInternalServerError) {
		return success
	}
	if out != nil && strings.EqualFold(out.GetMetadata()["retry"], "true") {
		return retry
	}
	return drop
}

func data(out ofctx.Out) []byte {
	if out == nil {
		return nil
	}
	return out.GetData()
}
