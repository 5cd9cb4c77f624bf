package context

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/dapr/go-sdk/service/common"
)

// recorder is a Sender that remembers the last call.
type recorder struct {
	ctx                context.Context
	what, where, extra string
	data               []byte
	err                error
}

func (r *recorder) InvokeBinding(ctx context.Context, name, operation string, data []byte, _ map[string]string) ([]byte, error) {
	*r = recorder{ctx, "binding", name, operation, data, r.err}
	return []byte("answer"), r.err
}

func (r *recorder) Publish(ctx context.Context, pubsub, topic string, data []byte, _ map[string]string) error {
	*r = recorder{ctx, "topic", pubsub, topic, data, r.err}
	return r.err
}

func call(t *testing.T, v1 string, s Sender) *FunctionContext {
	t.Helper()
	ctx, err := parse(v1, "")
	if err != nil {
		t.Fatal(err)
	}
	if s != nil {
		ctx = ctx.WithSender(s)
	}
	return ctx.NewCall(context.Background())
}

const outputs = `{"name":"f","outputs":{
	"b":{"componentName":"bc","componentType":"bindings.http","operation":"post"},
	"t":{"componentName":"tc","componentType":"pubsub.x","uri":"topic"},
	"lost":{"componentName":"tc","componentType":"pubsub.x"}}}`

func TestSend(t *testing.T) {
	var r recorder
	ctx := call(t, outputs, &r)
	type key struct{}
	ctx.SetNativeContext(context.WithValue(context.Background(), key{}, "mine"))
	answer, err := ctx.Send("b", []byte("x"))
	if err != nil || string(answer) != "answer" || r.what+r.where+r.extra+string(r.data) != "bindingbcpostx" {
		t.Errorf("binding: %q, %v, %+v", answer, err, r)
	}
	if r.ctx.Value(key{}) != "mine" {
		t.Error("Send did not use the context of the call")
	}
	if answer, err := ctx.Send("t", []byte("y")); err != nil || answer != nil || r.what+r.where+r.extra+string(r.data) != "topictctopicy" {
		t.Errorf("topic: %q, %v, %+v", answer, err, r)
	}
	if _, err := ctx.Send("nowhere", nil); err == nil || !strings.Contains(err.Error(), "b, lost, t") {
		t.Errorf("unknown output: %v", err)
	}
	if _, err := ctx.Send("lost", nil); err == nil || !strings.Contains(err.Error(), "no topic") {
		t.Errorf("no topic: %v", err)
	}
	r.err = errors.New("broker down")
	if _, err := ctx.Send("t", nil); !errors.Is(err, r.err) {
		t.Errorf("failing broker: %v", err)
	}
	if _, err := call(t, outputs, nil).Send("t", nil); !errors.Is(err, ErrNoSender) {
		t.Errorf("without Dapr: %v", err)
	}
}

func TestSendTestMode(t *testing.T) {
	ctx, err := parse(outputs, "", TestModeEnvName, TestModeOn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ctx.Send("t", nil); err != nil {
		t.Error(err)
	}
}

// What one function sends in an envelope another one gets without it, with the metadata.
func TestEnvelope(t *testing.T) {
	const traced = `{"name":"f","outputs":{"t":{"componentName":"tc","componentType":"pubsub.x","uri":"topic"}},
		"pluginsTracing":{"enabled":true,"provider":{"name":"skywalking"}}}`
	var r recorder
	sender := call(t, traced, &r)
	sender.SetEvent("in", &common.BindingEvent{Data: []byte("first")})
	sender.GetInnerEvent().SetMetadata("trace", "1")
	if _, err := sender.Send("t", []byte("payload")); err != nil {
		t.Fatal(err)
	}
	receiver := call(t, traced, nil)
	receiver.SetEvent("in", &common.TopicEvent{RawData: r.data})
	inner := receiver.GetInnerEvent()
	if string(inner.GetUserData()) != "payload" || inner.GetMetadata()["trace"] != "1" {
		t.Errorf("user data %q, metadata %v, sent %s", inner.GetUserData(), inner.GetMetadata(), r.data)
	}
	sender.ContextOptions().SetRawData(true)
	if _, err := sender.Send("t", []byte("payload")); err != nil || string(r.data) != "payload" {
		t.Errorf("raw: %q, %v", r.data, err)
	}
}

func TestSetEvent(t *testing.T) {
	e := event.New()
	e.SetID("1")
	e.SetType("t")
	e.SetSource("s")
	if err := e.SetData(event.ApplicationJSON, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		event any
		want  string
	}{
		"binding":              {&common.BindingEvent{Data: []byte("x")}, "x"},
		"topic, raw":           {&common.TopicEvent{RawData: []byte("x"), Data: 1}, "x"},
		"topic, decoded":       {&common.TopicEvent{Data: map[string]int{"a": 1}}, `{"a":1}`},
		"cloud event":          {&e, `{"a":1}`},
		"cloud event as bytes": {&common.BindingEvent{Data: []byte(e.String())}, e.String()},
	} {
		ctx := call(t, "", nil)
		ctx.SetEvent("in", tt.event)
		if got := string(ctx.GetInnerEvent().GetUserData()); got != tt.want || ctx.GetInputName() != "in" {
			t.Errorf("%s: %q from %q", name, got, ctx.GetInputName())
		}
	}
}

// A call knows nothing of the one before.
func TestNewCallIsFresh(t *testing.T) {
	base := call(t, outputs, nil)
	first := base.NewCall(context.Background())
	first.SetEvent("in", &common.BindingEvent{})
	first.WithOut(NewFunctionOut()).WithError(errors.New("x"))
	first.SetRawData(true)
	second := CloneRuntimeContext(base)
	if second.GetBindingEvent() != nil || second.GetOut() != nil || second.GetError() != nil || second.GetContext().IsRawDataEnabled() {
		t.Errorf("%+v", second)
	}
}

func TestVars(t *testing.T) {
	ctx := CtxWithVars(context.Background(), map[string]string{"k": "v"})
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	if VarsFromCtx(ctx)["k"] != "v" || URLParamFromCtx(ctx, "k") != "v" || URLParamsFromCtx(ctx)["k"] != "v" || Vars(r)["k"] != "v" {
		t.Error("the variable is lost")
	}
	if none := URLParamsFromCtx(context.Background()); none == nil || len(none) != 0 {
		t.Errorf("without variables: %v", none)
	}
}
