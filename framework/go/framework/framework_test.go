package framework

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
)

// fakeDapr is a Dapr runtime that writes down what it is asked.
type fakeDapr struct {
	runtimev1.UnimplementedDaprServer
	calls chan string
}

func (f *fakeDapr) InvokeBinding(ctx context.Context, r *runtimev1.InvokeBindingRequest) (*runtimev1.InvokeBindingResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if r.GetName() == "slow" {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	f.calls <- strings.Join([]string{"binding", r.GetName(), r.GetOperation(), string(r.GetData()), r.GetMetadata()["k"],
		strings.Join(md.Get("dapr-api-token"), "")}, " ")
	return &runtimev1.InvokeBindingResponse{Data: []byte("answer")}, nil
}

func (f *fakeDapr) PublishEvent(_ context.Context, r *runtimev1.PublishEventRequest) (*emptypb.Empty, error) {
	f.calls <- strings.Join([]string{"topic", r.GetPubsubName(), r.GetTopic(), string(r.GetData())}, " ")
	return &emptypb.Empty{}, nil
}

// startDapr serves a fake runtime until the test ends.
func startDapr(t *testing.T) (*fakeDapr, map[string]string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, srv := &fakeDapr{calls: make(chan string, 10)}, grpc.NewServer()
	runtimev1.RegisterDaprServer(srv, f)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	host, port, _ := net.SplitHostPort(l.Addr().String())
	return f, map[string]string{"DAPR_HOST": host, "DAPR_GRPC_PORT": port, "DAPR_API_TOKEN": "token"}
}

// serve registers fn and serves it in both protocols until the test ends.
func serve(t *testing.T, env map[string]string, fn any) *httptest.Server {
	t.Helper()
	fwk, err := NewFramework(WithEnv(func(k string) string { return env[k] }), WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	if err := fwk.Register(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
	h := host.Wrap(fwk.GetRuntime().GetHandler().(http.Handler), slog.New(slog.DiscardHandler))
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	res, err := http.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestSendThroughDapr(t *testing.T) {
	dapr, env := startDapr(t)
	env["FUNC_CONTEXT_V1BETA2"] = `{"triggers":{"http":{"port":8080}},"outputs":{
		"b":{"componentName":"bc","componentType":"bindings.http","operation":"post","metadata":{"k":"v"}},
		"t":{"componentName":"tc","componentType":"pubsub.x","topic":"top"}}}`
	srv := serve(t, env, func(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
		answer, err := ctx.Send(string(in), []byte("data"))
		return ctx.ReturnOnSuccess().WithData(answer), err
	})
	if code, body := post(t, srv.URL, "b"); code != 200 || body != "answer" {
		t.Errorf("binding: %d %q", code, body)
	}
	if got, want := <-dapr.calls, "binding bc post data v token"; got != want {
		t.Errorf("Dapr got %q, want %q", got, want)
	}
	if code, body := post(t, srv.URL, "t"); code != 200 || body != "" {
		t.Errorf("topic: %d %q", code, body)
	}
	if got, want := <-dapr.calls, "topic tc top data"; got != want {
		t.Errorf("Dapr got %q, want %q", got, want)
	}
}

// A client that goes away ends what its function waits for.
func TestSendEndsWithTheRequest(t *testing.T) {
	_, env := startDapr(t)
	env["FUNC_CONTEXT"] = `{"outputs":{"b":{"componentName":"slow","componentType":"bindings.http"}}}`
	sending, result := make(chan struct{}), make(chan error, 1)
	srv := serve(t, env, func(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
		close(sending)
		_, err := ctx.Send("b", nil)
		result <- err
		return ctx.ReturnOnInternalError(), err
	})
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-sending; cancel() }()
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
	}
	if err := <-result; status.Code(errors.Unwrap(errors.Unwrap(err))) != codes.Canceled {
		t.Errorf("Send returned %v", err)
	}
}

const inputs = `{"runtime":"Async","inputs":{
	"timer":{"componentName":"cron","componentType":"bindings.cron"},
	"in":{"componentName":"ps","componentType":"pubsub.x","uri":"orders"},
	"in2":{"componentName":"ps2","componentType":"pubsub.x","uri":"orders"}}}`

// handle answers by its input: fail, retry, panic or an echo of where the event came from.
func handle(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
	switch string(in) {
	case "fail":
		return ctx.ReturnOnInternalError(), errors.New("failed")
	case "retry":
		return &ofctx.FunctionOut{Code: 500, Metadata: map[string]string{"retry": "True"}}, nil
	case "panic":
		panic("oh")
	case "404":
		return ofctx.NewFunctionOut().WithCode(404), nil
	}
	return ctx.ReturnOnSuccess().WithData([]byte(ctx.GetInputName() + ":" + string(in))), nil
}

func TestAppChannelGRPC(t *testing.T) {
	srv := serve(t, map[string]string{"FUNC_CONTEXT": inputs}, handle)
	conn, err := grpc.NewClient(srv.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, app := context.Background(), runtimev1.NewAppCallbackClient(conn)
	bindings, err := app.ListInputBindings(ctx, &emptypb.Empty{})
	if err != nil || !reflect.DeepEqual(bindings.GetBindings(), []string{"cron"}) {
		t.Errorf("bindings %v, %v", bindings, err)
	}
	topics, err := app.ListTopicSubscriptions(ctx, &emptypb.Empty{})
	if err != nil || len(topics.GetSubscriptions()) != 2 || topics.GetSubscriptions()[0].GetTopic() != "orders" {
		t.Errorf("topics %v, %v", topics, err)
	}
	if _, err := runtimev1.NewAppCallbackHealthCheckClient(conn).HealthCheck(ctx, &emptypb.Empty{}); err != nil {
		t.Error(err)
	}
	for in, want := range map[string]runtimev1.TopicEventResponse_TopicEventResponseStatus{
		"x": runtimev1.TopicEventResponse_SUCCESS, "404": runtimev1.TopicEventResponse_SUCCESS, "fail": runtimev1.TopicEventResponse_DROP,
		"retry": runtimev1.TopicEventResponse_RETRY, "panic": runtimev1.TopicEventResponse_DROP,
	} {
		res, err := app.OnTopicEvent(ctx, &runtimev1.TopicEventRequest{PubsubName: "ps2", Topic: "orders", Data: []byte(in)})
		if err != nil || res.GetStatus() != want {
			t.Errorf("topic event %q: %v, %v; want %v", in, res, err, want)
		}
	}
	if _, err := app.OnTopicEvent(ctx, &runtimev1.TopicEventRequest{PubsubName: "ps", Topic: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("unknown topic: %v", err)
	}
	res, err := app.OnBindingEvent(ctx, &runtimev1.BindingEventRequest{Name: "cron", Data: []byte("x")})
	if err != nil || string(res.GetData()) != "timer:x" {
		t.Errorf("binding event: %v, %v", res, err)
	}
	for _, in := range []string{"fail", "retry", "panic"} {
		if _, err := app.OnBindingEvent(ctx, &runtimev1.BindingEventRequest{Name: "cron", Data: []byte(in)}); status.Code(err) != codes.Internal {
			t.Errorf("binding event %q: %v", in, err)
		}
	}
}

func TestDeadLettersOfTopics(t *testing.T) {
	srv := serve(t, map[string]string{"FUNC_CONTEXT_V1BETA2": `{"name":"f","version":"v1","triggers":{"dapr":[
		{"name":"ps","type":"pubsub.redis","topic":"orders","deadLetterTopic":"dead"},{"name":"ps","type":"pubsub.redis","topic":"dead"}]}}`}, handle)
	res, err := http.Get(srv.URL + "/dapr/subscribe")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got := map[string]string{}
	var subs []struct{ Topic, DeadLetterTopic string }
	if err := json.NewDecoder(res.Body).Decode(&subs); err != nil {
		t.Fatal(err)
	}
	for _, s := range subs {
		got[s.Topic] = s.DeadLetterTopic
	}
	if len(got) != 2 || got["orders"] != "dead" || got["dead"] != "" {
		t.Errorf("subscriptions %+v", subs)
	}
}

func TestAppChannelHTTP(t *testing.T) {
	srv := serve(t, map[string]string{"FUNC_CONTEXT": inputs}, handle)
	res, err := http.Get(srv.URL + "/dapr/subscribe")
	if err != nil {
		t.Fatal(err)
	}
	var subs []struct{ PubsubName, Topic, Route string }
	err = json.NewDecoder(res.Body).Decode(&subs)
	res.Body.Close()
	if err != nil || len(subs) != 2 || subs[0].Route != "/orders" || subs[1].Route != "/ps2/orders" {
		t.Fatalf("subscriptions %+v, %v", subs, err)
	}
	for in, want := range map[string]string{
		`{"data":"x"}`: "SUCCESS", `{"data":"fail"}`: "DROP", `{"data":"retry"}`: "RETRY", `{"data":"panic"}`: "DROP",
		`{"data_base64":"cmV0cnk="}`: "RETRY", `{"data":{"a":1},"datacontenttype":"application/json"}`: "SUCCESS", `{`: "DROP",
	} {
		if code, body := post(t, srv.URL+subs[1].Route, in); code != 200 || !strings.Contains(body, `"`+want+`"`) {
			t.Errorf("topic event %s: %d %s, want %s", in, code, body, want)
		}
	}
	for in, want := range map[string]int{"x": 200, "fail": 500, "panic": 500} {
		if code, body := post(t, srv.URL+"/cron", in); code != want || (code == 200 && body != "timer:x") {
			t.Errorf("binding event %q: %d %q, want %d", in, code, body, want)
		}
	}
	r, err := http.NewRequest(http.MethodOptions, srv.URL+"/cron", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(r); err != nil || res.StatusCode != 200 {
		t.Errorf("OPTIONS: %v, %v", res, err)
	}
	if code, body := post(t, srv.URL+"/", "direct"); code != 200 || body != ":direct" {
		t.Errorf("plain request beside events: %d %q", code, body)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	fwk, err := NewFramework(WithEnv(func(k string) string { return map[string]string{"PORT": "0"}[k] }))
	if err == nil {
		t.Fatal("port 0 was accepted")
	}
	fwk, err = NewFramework(WithEnv(func(k string) string { return map[string]string{"PORT": freePort(t)}[k] }))
	if err != nil {
		t.Fatal(err)
	}
	if err := fwk.Register(context.Background(), handle); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := fwk.Start(ctx); err != nil {
		t.Error(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
