package lag

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/openfunction/ofn/internal/lag/externalscaler"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// headerActive is where the helper tells with a metric whether the trigger is active.
const headerActive = "ofn-active"

// leastKeep is how long the helper keeps a scaler, connection included, between polls at least.
const leastKeep = 5 * time.Minute

// remote is a trigger that the helper asks.
type remote struct {
	helper  Helper
	done    func()
	ref     *externalscaler.ScaledObjectRef
	perCopy bool
	specs   []*externalscaler.MetricSpec // what the trigger said it measures; nil: to be asked
}

// newRemote writes a trigger as the helper reads it.
func newRemote(w run.Watch, h Helper) *remote {
	m := map[string]string{"type": w.Type, "index": strconv.Itoa(w.Index), "keep": max(leastKeep, 3*w.Polling).String()}
	for room, values := range map[string]map[string]string{"metadata.": w.Metadata, "auth.": w.Auth, "env.": w.Env} {
		for k, v := range values {
			m[room+k] = v
		}
	}
	if w.Trigger.Name != "" {
		m["name"] = w.Trigger.Name
	}
	if w.MetricType != "" {
		m["metricType"] = w.MetricType
	}
	if w.Job {
		m["kind"] = "ScaledJob"
	}
	if w.Composite {
		m["composite"] = "true"
	}
	return &remote{helper: h, done: h.Use(), perCopy: w.MetricType != "Value",
		ref: &externalscaler.ScaledObjectRef{Name: w.Key.Name, Namespace: w.Namespace, ScalerMetadata: m}}
}

func (r *remote) close() { r.done() }

// poll asks twice when the helper ended meanwhile: that says nothing of the trigger.
func (r *remote) poll(ctx context.Context) ([]scale.Value, bool, error) {
	values, active, err := r.ask(ctx)
	if status.Code(err) == codes.Unavailable && ctx.Err() == nil {
		values, active, err = r.ask(ctx)
	}
	if err != nil {
		r.specs = nil
		return nil, false, explained(err)
	}
	return values, active, nil
}

// explained takes off what gRPC puts around an error of the helper.
func explained(err error) error {
	if s, ok := status.FromError(err); ok && s.Code() != codes.Unavailable {
		return fmt.Errorf("%s", s.Message())
	}
	return err
}

func (r *remote) ask(ctx context.Context) (values []scale.Value, active bool, err error) {
	c, err := r.helper.Client()
	if err != nil {
		return nil, false, err
	}
	if r.specs == nil {
		said, err := c.GetMetricSpec(ctx, r.ref, grpc.WaitForReady(true))
		if err != nil {
			return nil, false, err
		}
		r.specs = said.GetMetricSpecs()
	}
	for _, spec := range r.specs {
		var header metadata.MD
		said, err := c.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: r.ref, MetricName: spec.GetMetricName()},
			grpc.WaitForReady(true), grpc.Header(&header))
		if err != nil {
			return nil, false, err
		}
		v := scale.Value{Target: spec.GetTargetSizeFloat(), PerCopy: r.perCopy}
		for _, m := range said.GetMetricValues() {
			v.Sum += m.GetMetricValueFloat()
		}
		values = append(values, v)
		for _, h := range header.Get(headerActive) {
			active = active || h == "true"
		}
	}
	return values, active, nil
}
