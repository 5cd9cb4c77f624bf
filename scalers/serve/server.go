package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
)

// HeaderActive is the response header of GetMetrics that tells whether the trigger is active.
const HeaderActive = "ofn-active"

// ErrUnknownType is wrapped by a Builder's error for a trigger type that it does not know.
var ErrUnknownType = errors.New("unknown trigger type")

// Spec is one metric of a scaler and what one copy is meant for.
type Spec struct {
	Name   string
	Target float64
}

// Scaler asks one source. It is used by one goroutine at a time.
type Scaler interface {
	Specs(ctx context.Context) ([]Spec, error)
	// Read asks for the sum of a metric and whether there is anything to do.
	Read(ctx context.Context, metric string) (value float64, active bool, err error)
	Close(ctx context.Context) error
}

// Pusher is implemented by scalers that tell by themselves when there is something to do.
type Pusher interface {
	// Push sends to active until ctx ends, then closes it.
	Push(ctx context.Context, active chan<- bool)
}

// Builder makes the scaler of a trigger. It may connect.
type Builder func(ctx context.Context, t Trigger) (Scaler, error)

// Options of a server. Build is required.
type Options struct {
	Build   Builder
	Log     *slog.Logger  // nil discards
	Scalers int           // kept at most; 0 is 1000
	Timeout time.Duration // of a request that has no deadline; 0 is 30 s
}

// Server implements the protocol. End it with Close.
type Server struct {
	externalscaler.UnimplementedExternalScalerServer
	timeout time.Duration
	kept    *kept
}

// New makes a server without scalers.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Scalers <= 0 {
		o.Scalers = 1000
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	return &Server{timeout: o.Timeout, kept: newKept(o.Build, o.Scalers, o.Log)}
}

// Close closes every scaler that is not in use.
func (s *Server) Close() { s.kept.close() }

// GetMetricSpec implements the protocol.
func (s *Server) GetMetricSpec(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	out := &externalscaler.GetMetricSpecResponse{}
	err := s.with(ctx, ref, func(ctx context.Context, sc Scaler) error {
		specs, err := sc.Specs(ctx)
		for _, m := range specs {
			out.MetricSpecs = append(out.MetricSpecs, &externalscaler.MetricSpec{
				MetricName: m.Name, TargetSize: whole(m.Target), TargetSizeFloat: m.Target})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// GetMetrics implements the protocol.
func (s *Server) GetMetrics(ctx context.Context, q *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	var value float64
	var active bool
	err := s.with(ctx, q.GetScaledObjectRef(), func(ctx context.Context, sc Scaler) (err error) {
		value, active, err = sc.Read(ctx, q.GetMetricName())
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs(HeaderActive, strconv.FormatBool(active))); err != nil {
		return nil, fmt.Errorf("telling whether the trigger is active: %w", err)
	}
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{
		{MetricName: q.GetMetricName(), MetricValue: whole(value), MetricValueFloat: value}}}, nil
}

// IsActive implements the protocol.
func (s *Server) IsActive(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	out := &externalscaler.IsActiveResponse{}
	err := s.with(ctx, ref, func(ctx context.Context, sc Scaler) error {
		specs, err := sc.Specs(ctx)
		for _, m := range specs {
			_, active, failed := sc.Read(ctx, m.Name)
			if failed != nil {
				return failed
			}
			out.Result = out.Result || active
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// StreamIsActive implements the protocol for scalers that push.
func (s *Server) StreamIsActive(ref *externalscaler.ScaledObjectRef, out grpc.ServerStreamingServer[externalscaler.IsActiveResponse]) error {
	t, err := Decode(ref)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	sc, err := guarded(func() (Scaler, error) { return s.kept.build(out.Context(), t) })
	if err != nil {
		return asStatus(t, err)
	}
	defer func() { _ = sc.Close(context.WithoutCancel(out.Context())) }() // the stream is over; nobody is left to tell
	p, ok := sc.(Pusher)
	if !ok {
		return status.Errorf(codes.Unimplemented, "%v does not push; ask IsActive", t)
	}
	active := make(chan bool)
	go p.Push(out.Context(), active)
	var failed error
	for a := range active {
		if failed == nil {
			failed = out.Send(&externalscaler.IsActiveResponse{Result: a})
		}
	}
	return failed
}

// with lends the scaler of ref to use.
func (s *Server) with(ctx context.Context, ref *externalscaler.ScaledObjectRef, use func(context.Context, Scaler) error) error {
	if ref == nil {
		return status.Error(codes.InvalidArgument, "the request has no ScaledObjectRef")
	}
	t, err := Decode(ref)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	return asStatus(t, s.kept.with(ctx, keyOf(ref), t, use))
}

// asStatus gives an error its code and says whose it is.
func asStatus(t Trigger, err error) error {
	code := codes.FailedPrecondition // not Unavailable, which says that the helper is gone
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUnknownType):
		code = codes.Unimplemented
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	}
	return status.Errorf(code, "%v: %v", t, err)
}

// whole is v for clients that read the old, whole numbers.
func whole(v float64) int64 {
	switch {
	case math.IsNaN(v):
		return 0
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	}
	return int64(math.Round(v))
}
