package opentelemetry_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"go.opentelemetry.io/otel"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/framework"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/plugin"
	"github.com/OpenFunction/functions-framework-go/plugin/opentelemetry"
	"github.com/OpenFunction/functions-framework-go/plugin/skywalking"
)

// sink collects spans by OTLP, over gRPC and over HTTP.
type sink struct {
	collector.UnimplementedTraceServiceServer
	mu     sync.Mutex
	spans  map[string]*tracev1.Span // by name
	header http.Header
}

func (s *sink) Export(ctx context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		s.header = http.Header{"X-Key": md.Get("x-key")}
	}
	for _, r := range in.GetResourceSpans() {
		for _, scope := range r.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s.spans[span.GetName()] = span
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	in := &collector.ExportTraceServiceRequest{}
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, in) != nil {
		http.Error(w, "no spans", http.StatusBadRequest)
		return
	}
	_, _ = s.Export(r.Context(), in) // never fails
	s.header = r.Header
}

// overGRPC serves with gRPC until the test ends, and returns where.
func overGRPC(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	register(srv)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		<-ended
	})
	return l.Addr().String()
}

// broker is a Dapr runtime that hands every message on to a function at once, as the CloudEvent that Dapr makes.
type broker struct {
	runtimev1.UnimplementedDaprServer
	to   http.Handler
	sent metadata.MD
}

func (b *broker) PublishEvent(ctx context.Context, in *runtimev1.PublishEventRequest) (*emptypb.Empty, error) {
	b.sent, _ = metadata.FromIncomingContext(ctx)
	event := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"text/plain","traceparent":%q,"data":%q}`,
		b.sent.Get("traceparent")[0], in.GetData())
	r := httptest.NewRequest(http.MethodPost, "/"+in.GetTopic(), strings.NewReader(event))
	r.Header.Set("Content-Type", "application/cloudevents+json")
	w := httptest.NewRecorder()
	b.to.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), "SUCCESS") {
		return nil, errors.New(w.Body.String())
	}
	return &emptypb.Empty{}, nil
}

// program is a function with a plugin, and its log.
func program(t *testing.T, document string, p *opentelemetry.Plugin, fn any, env ...string) (http.Handler, *bytes.Buffer) {
	t.Helper()
	settings := map[string]string{"FUNC_CONTEXT": document}
	for i := 0; i < len(env); i += 2 {
		settings[env[i]] = env[i+1]
	}
	var log bytes.Buffer
	out := slog.New(slog.NewJSONHandler(&log, nil))
	f, err := framework.NewFramework(framework.WithEnv(func(name string) string { return settings[name] }), framework.WithLogger(out))
	if err != nil {
		t.Fatal(err)
	}
	f.RegisterPlugins(map[string]plugin.Plugin{p.Name(): p})
	if err := f.Register(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
	return host.Wrap(f.GetRuntime().GetHandler().(http.Handler), out), &log
}

// TestAcross follows one trace from an HTTP request over function a, a topic and function b.
func TestAcross(t *testing.T) {
	s := &sink{spans: map[string]*tracev1.Span{}}
	web := httptest.NewServer(s)
	defer web.Close()
	address := overGRPC(t, func(srv *grpc.Server) { collector.RegisterTraceServiceServer(srv, s) })
	const traceID, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for name, provider := range map[string]string{
		"grpc":       `{"name":"opentelemetry","exporter":{"name":"otlp","endpoint":"` + address + `","headers":"x-key=k","compression":"gzip","timeout":"5s"}}`,
		"http":       `{"name":"opentelemetry","exporter":{"name":"otlp","endpoint":"` + web.URL + `","protocol":"http/protobuf","headers":"x-key=k","timeout":"5000"}}`,
		"skywalking": `{"name":"skywalking","oapServer":"` + address + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			clear(s.spans)
			made := opentelemetry.New
			if name == "skywalking" {
				made = skywalking.New
			}
			tracing := `"pluginsTracing":{"enabled":true,"provider":` + provider + `,"tags":{"team":"shop"},"baggage":{"tenant":"blue"}}`
			toA, toB := made(), made()
			var got string
			b, _ := program(t, `{"name":"b","runtime":"Async","inputs":{"in":{"uri":"orders","componentName":"bus","componentType":"pubsub.redis"}},`+tracing+`}`, toB,
				func(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
					got = string(ctx.GetInnerEvent().GetUserData())
					return ctx.ReturnOnInternalError(), errors.New("no more")
				})
			bus := &broker{to: succeeding(b)}
			dapr := overGRPC(t, func(srv *grpc.Server) { runtimev1.RegisterDaprServer(srv, bus) })
			host, port, _ := net.SplitHostPort(dapr)
			a, log := program(t, `{"name":"a","runtime":"Knative","outputs":{"out":{"uri":"orders","componentName":"bus","componentType":"pubsub.redis"}},`+tracing+`}`, toA,
				func(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
					_, own := otel.Tracer("test").Start(ctx.GetNativeContext(), "own")
					own.End()
					if _, err := ctx.Send("out", in); err != nil {
						return nil, err
					}
					return ctx.ReturnOnSuccess(), nil
				}, "DAPR_HOST", host, "DAPR_GRPC_PORT", port)
			r := httptest.NewRequest(http.MethodPost, "/path", strings.NewReader("data"))
			r.Header.Set("Traceparent", "00-"+traceID+"-"+parent+"-00")
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			if w.Code != http.StatusOK || got != "data" {
				t.Fatalf("%d %s, b got %q: %s", w.Code, w.Body, got, log)
			}
			if err := errors.Join(toA.Close(), toB.Close()); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			spanA, spanB := s.spans["a"], s.spans["b"]
			for name, span := range s.spans {
				if id := hex.EncodeToString(span.GetTraceId()); id != traceID {
					t.Errorf("span %s is of trace %s", name, id)
				}
			}
			if hex.EncodeToString(spanA.GetParentSpanId()) != parent || spanA.GetKind() != tracev1.Span_SPAN_KIND_SERVER {
				t.Errorf("a: %v", spanA)
			}
			if !bytes.Equal(spanB.GetParentSpanId(), spanA.GetSpanId()) || spanB.GetKind() != tracev1.Span_SPAN_KIND_CONSUMER {
				t.Errorf("b is not a child of a: %v", spanB)
			}
			if name != "skywalking" && !bytes.Equal(s.spans["own"].GetParentSpanId(), spanA.GetSpanId()) {
				t.Errorf("the function's own span: %v", s.spans["own"])
			}
			if spanB.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR || spanA.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR {
				t.Errorf("states: a %v, b %v", spanA.GetStatus(), spanB.GetStatus())
			}
			if text := fmt.Sprint(spanA.GetAttributes()); !strings.Contains(text, "shop") || !strings.Contains(text, "200") {
				t.Errorf("attributes: %s", text)
			}
			if baggage := bus.sent.Get("baggage"); len(baggage) != 1 || baggage[0] != "tenant=blue" {
				t.Errorf("baggage %q was sent", baggage)
			}
			if name != "skywalking" && s.header.Get("X-Key") != "k" {
				t.Errorf("the collector got %v", s.header)
			}
		})
	}
}

// succeeding tells the broker success whatever the function says.
func succeeding(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(httptest.NewRecorder(), r)
		_, _ = io.WriteString(w, "SUCCESS")
	})
}

// TestMisconfigured: what cannot be sent anywhere is told once, and the function runs.
func TestMisconfigured(t *testing.T) {
	for exporter, want := range map[string]string{
		`{"name":"zipkin"}`:                      "must be otlp",
		`{"name":"otlp","protocol":"udp"}`:       "must be grpc or http/protobuf",
		`{"name":"otlp","timeout":"soon"}`:       "no duration",
		`{"name":"otlp","headers":"key"}`:        "name=value",
		`{"name":"otlp","compression":"brotli"}`: "must be gzip",
	} {
		h, log := program(t, `{"name":"f","pluginsTracing":{"enabled":true,"provider":{"name":"opentelemetry","exporter":`+exporter+`}}}`, opentelemetry.New(),
			func(ctx ofctx.Context, _ []byte) (ofctx.Out, error) {
				return ctx.ReturnOnSuccess().WithData([]byte("ran")), nil
			})
		for range 2 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if w.Body.String() != "ran" {
				t.Errorf("%s: %s", exporter, w.Body)
			}
		}
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("%s: the log is %s", exporter, log)
		}
	}
}
