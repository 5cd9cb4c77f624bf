package dapr_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	commonv1 "github.com/dapr/dapr/pkg/proto/common/v1"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/event"
)

// invoked is an Invoker that tells what it got.
type invoked func(*http.Request) *http.Response

func (f invoked) RoundTrip(r *http.Request) (*http.Response, error) {
	if resp := f(r); resp != nil {
		return resp, nil
	}
	return nil, errors.New("nobody there")
}

func TestInvoke(t *testing.T) {
	p := newPlatform(t, func(o *dapr.Options) {
		o.Invoker = invoked(func(r *http.Request) *http.Response {
			if r.URL.Host == "gone.ns.svc.cluster.local" {
				return nil
			}
			var body []byte
			if r.Body != nil {
				body, _ = io.ReadAll(r.Body)
			}
			text := r.Method + " " + r.URL.String() + " " + string(body) + " " + r.Header.Get("X-Mine") + " " + r.Header.Get("dapr-caller-app-id") + r.Header.Get("dapr-app-id")
			code := http.StatusOK
			if strings.HasSuffix(r.URL.Path, "/teapot") {
				code = http.StatusTeapot
			}
			return &http.Response{StatusCode: code, Header: http.Header{"X-Back": {"b"}, "Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r, ProtoMajor: 1, ProtoMinor: 1}
		})
	})
	p.app(event.App{Name: name("callee"), ID: "their-id"})
	api := p.serve(name("fn"))
	for _, test := range []struct{ method, path, id, want string }{
		{"POST", "/v1.0/invoke/callee/method/a/b?x=1", "", "POST http://callee.ns.svc.cluster.local/a/b?x=1 body mine fn-ns"},
		{"DELETE", "/v1.0/invoke/their-id/method/", "", "DELETE http://callee.ns.svc.cluster.local/ body mine fn-ns"},
		{"PATCH", "/v1.0/invoke/callee-ns/method/a%2Fb", "", "PATCH http://callee.ns.svc.cluster.local/a%2Fb body mine fn-ns"},
		{"PUT", "/any/path?q=2", "callee.ns", "PUT http://callee.ns.svc.cluster.local/any/path?q=2 body mine fn-ns"},
		{"GET", "/v1.0/state/x", "callee", "GET http://callee.ns.svc.cluster.local/v1.0/state/x body mine fn-ns"},
		{"GET", "/v1.0/invoke/callee/method/../../secret", "", "GET http://callee.ns.svc.cluster.local/secret body mine fn-ns"},
	} {
		header := []string{"X-Mine", "mine"}
		if test.id != "" {
			header = append(header, "dapr-app-id", test.id)
		}
		code, body, h := api.http(test.method, test.path, "body", header...)
		if code != 200 || body != test.want || h.Get("X-Back") != "b" {
			t.Errorf("%s %s: %d %q, want %q", test.method, test.path, code, body, test.want)
		}
	}
	if code, _, _ := api.http("GET", "/v1.0/invoke/callee/method/teapot", ""); code != http.StatusTeapot {
		t.Errorf("the status is not passed on: %d", code)
	}
	api.fails("GET", "/v1.0/invoke/gone/method/x", "", http.StatusInternalServerError, "ERR_DIRECT_INVOKE")
	api.fails("GET", "/v1.0/invoke/callee.elsewhere/method/x", "", http.StatusForbidden, "ERR_DIRECT_INVOKE")
	api.fails("GET", "/v1.0/invoke/callee", "", http.StatusNotFound, "ERR_DIRECT_INVOKE")
	api.fails("GET", "/nothing", "", http.StatusNotFound, "ERR_DIRECT_INVOKE")
	api.fails("GET", "/v1.0/invoke/evil@host%2F/method/x", "", http.StatusBadRequest, "ERR_DIRECT_INVOKE")

	var header metadata.MD
	got, err := api.grpc.InvokeService(t.Context(), &runtimev1.InvokeServiceRequest{Id: "callee", Message: &commonv1.InvokeRequest{
		Method: "m", Data: &anypb.Any{Value: []byte("d")}, HttpExtension: &commonv1.HTTPExtension{Verb: commonv1.HTTPExtension_PUT, Querystring: "q=1"},
	}}, grpc.Header(&header))
	if err != nil || string(got.GetData().GetValue()) != "PUT http://callee.ns.svc.cluster.local/m?q=1 d  fn-ns" || len(header.Get("x-back")) != 1 {
		t.Errorf("%v %v %v", got, header, err)
	}
	_, err = api.grpc.InvokeService(t.Context(), &runtimev1.InvokeServiceRequest{Id: "callee.elsewhere", Message: &commonv1.InvokeRequest{Method: "m"}})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("another namespace: %v", err)
	}
}

func TestProxyOfGRPC(t *testing.T) {
	var target string
	p := newPlatform(t, func(o *dapr.Options) {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		o.Invoker = roundTrip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Host, r.URL.Host = r.URL.Host, target
			return transport.RoundTrip(r)
		})
		t.Cleanup(transport.CloseIdleConnections)
	})
	c := p.grpcApp("callee-v1", &callback{listed: []*runtimev1.TopicSubscription{{Topic: "proxied"}}})
	target = p.copies["callee-v1"]
	api := p.serve(name("fn"))
	// Any service that is not Dapr's own will do.
	client := runtimev1.NewAppCallbackClient(api.conn)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "dapr-app-id", "callee")
	got, err := client.ListTopicSubscriptions(ctx, &emptypb.Empty{})
	if err != nil || len(got.GetSubscriptions()) != 1 || got.GetSubscriptions()[0].GetTopic() != "proxied" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := client.OnTopicEvent(ctx, &runtimev1.TopicEventRequest{Id: "7"}); err != nil || receive(t, c.topics, "the call").GetId() != "7" {
		t.Errorf("%v", err)
	}
	if _, err := client.OnInvoke(ctx, &commonv1.InvokeRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("the status is not passed on: %v", err)
	}
	if _, err := client.ListTopicSubscriptions(t.Context(), &emptypb.Empty{}); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "dapr-app-id") {
		t.Errorf("without an app id: %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
