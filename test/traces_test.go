package test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// spanLimit is how long spans may take to arrive.
const spanLimit = 30 * time.Second

// spans is a collector of OTLP over gRPC.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu   sync.Mutex
	kept []*tracev1.Span
}

// Export implements collector.TraceServiceServer.
func (s *spans) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range in.GetResourceSpans() {
		for _, scope := range r.GetScopeSpans() {
			s.kept = append(s.kept, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// chain finds spans of a trace each of which is a child of the one before.
func (s *spans) chain(trace, parent string, names []*regexp.Regexp) bool {
	if len(names) == 0 {
		return true
	}
	return slices.ContainsFunc(s.kept, func(span *tracev1.Span) bool {
		return hex.EncodeToString(span.GetTraceId()) == trace && hex.EncodeToString(span.GetParentSpanId()) == parent && names[0].MatchString(span.GetName()) &&
			s.chain(trace, hex.EncodeToString(span.GetSpanId()), names[1:])
	})
}

func (s *spans) String() string {
	var b strings.Builder
	for _, span := range s.kept {
		fmt.Fprintf(&b, "%x %x below %x: %s\n", span.GetTraceId(), span.GetSpanId(), span.GetParentSpanId(), span.GetName())
	}
	return b.String()
}

// collect has the next ofn up send its spans here.
func collect(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: collect")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	kept, srv, ended := &spans{}, grpc.NewServer(), make(chan error, 1)
	collector.RegisterTraceServiceServer(srv, kept)
	go func() { ended <- srv.Serve(l) }()
	ts.Defer(func() {
		srv.Stop()
		<-ended
	})
	s := ts.Value(serverKey{}).(*server)
	s.env = append(s.env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String())
	s.spans = kept
}

// traceCommand waits for spans of a trace: the first below PARENT, each other below the one before it.
func traceCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: trace TRACE PARENT NAME...")
	}
	var names []*regexp.Regexp
	for _, a := range args[2:] {
		re, err := regexp.Compile("^" + a + "$")
		ts.Check(err)
		names = append(names, re)
	}
	kept := ts.Value(serverKey{}).(*server).spans
	found := until(spanLimit, func() bool {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		return kept.chain(args[0], args[1], names)
	})
	if !found {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		ts.Fatalf("no such spans; there are:\n%s", kept)
	}
}
