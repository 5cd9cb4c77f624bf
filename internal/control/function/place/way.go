package place

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// WayDapr is the name of the way for functions that Dapr calls. The others have the names of triggers.http.engine.
const WayDapr = "dapr"

// Way is one way to run functions on a cluster.
type Way struct {
	// Name is that by which functions ask for it: one of triggers.http.engine, or WayDapr.
	Name   string
	Engine cluster.Engine
	// Ref is a key of Status.Objects that only this way has: by it a function stays with the way that it began with.
	Ref string
	// Needs must all be on the cluster; none is Kubernetes alone.
	Needs []engines.Engine
	// Kinds are Kubernetes' own of which it makes objects, labelled with the function.
	Kinds []client.Object
	// Sometimes are needed by some functions only.
	Sometimes []Need
	// Components is whether it runs functions beside Dapr's sidecar, to which their annotations lead. The cluster must have Dapr for
	// those then.
	Components bool
}

// Need is an engine that some revisions need.
type Need struct {
	Engine engines.Engine
	For    func(*v1beta2.Serving) bool
}

// engines are all with which the way may have to do.
func (w *Way) engines() []engines.Engine {
	out := slices.Clone(w.Needs)
	for _, n := range w.Sometimes {
		out = append(out, n.Engine)
	}
	if w.Components {
		out = append(out, engines.Dapr())
	}
	return out
}

// with is what the way needs for a revision.
func (w *Way) with(s *v1beta2.Serving) []engines.Engine {
	out := slices.Clone(w.Needs)
	for _, n := range w.Sometimes {
		if n.For(s) {
			out = append(out, n.Engine)
		}
	}
	if w.Components && daprapp.Enabled(s) {
		out = append(out, engines.Dapr())
	}
	return out
}

// missing says what of these the cluster lacks; nil is nothing.
func (p *Phase) missing(ctx context.Context, needs []engines.Engine) (*engines.Missing, error) {
	for _, e := range needs {
		err := p.options.Engines.Check(ctx, e)
		if lacks := (*engines.Missing)(nil); errors.As(err, &lacks) {
			return lacks, nil
		} else if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (p *Phase) named(name string) *Way {
	i := slices.IndexFunc(p.options.Ways, func(w Way) bool { return w.Name == name })
	if i < 0 {
		return nil
	}
	return &p.options.Ways[i]
}

// wayOf chooses the way for a function. One that names no engine stays with that which it has, and begins with the first
// that the cluster has all for. A way that is not among the options is a *cluster.Refused.
func (p *Phase) wayOf(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving) (*Way, error) {
	name := asked(fn)
	if name == "" && triggered(fn) && p.named(WayDapr) != nil {
		name = WayDapr // the others know of requests alone
	}
	if name == "" {
		name = p.options.Default
	}
	if name != "" {
		if w := p.named(name); w != nil {
			return w, nil
		}
		return nil, &cluster.Refused{Reason: reasonUnsupported, Err: fmt.Errorf("`ofn operator` cannot run this function: it has no engine %q, only %s; run it with `ofn up`", name, p.names())}
	}
	http := p.http()
	for _, s := range servings {
		for _, w := range http {
			if s.Status.ResourceRef[w.Ref] != "" {
				return w, nil
			}
		}
	}
	for _, w := range http {
		if lacks, err := p.missing(ctx, w.Needs); err != nil || lacks == nil {
			return w, err
		}
	}
	return http[0], nil
}

// asked is the way that a function names; empty leaves it to the operator.
func asked(fn *v1beta2.Function) string {
	t := fn.Spec.Serving.Triggers
	switch {
	case t == nil || t.HTTP == nil || len(t.Dapr) > 0:
		return WayDapr
	case t.HTTP.Engine != nil:
		return *t.HTTP.Engine
	}
	return ""
}

// triggered says whether triggers of KEDA say how many copies a function has.
func triggered(fn *v1beta2.Function) bool {
	o := fn.Spec.Serving.ScaleOptions
	return o != nil && o.Keda != nil && len(o.Keda.Triggers) > 0
}

// http are the ways of functions that HTTP requests call, the best first. There is at least one.
func (p *Phase) http() []*Way {
	var out []*Way
	for i := range p.options.Ways {
		if w := &p.options.Ways[i]; w.Name != WayDapr {
			out = append(out, w)
		}
	}
	return out
}

func (p *Phase) names() string {
	out := make([]string, len(p.options.Ways))
	for i, w := range p.options.Ways {
		out[i] = fmt.Sprintf("%q", w.Name)
	}
	return strings.Join(out, ", ")
}

// leave takes away what every way but one has made for the function, as far as the cluster has their kinds.
func (p *Phase) leave(ctx context.Context, fn *v1beta2.Function, but *Way) error {
	for i := range p.options.Ways {
		w := &p.options.Ways[i]
		if w == but {
			continue
		}
		if lacks, err := p.missing(ctx, w.Needs); err != nil {
			return err
		} else if lacks != nil {
			continue // then there is nothing of it
		}
		if err := w.Engine.Remove(ctx, fn.Namespace, fn.Name, owner(fn)); err != nil {
			return fmt.Errorf("removing what %s made: %w", w.Name, err)
		}
	}
	return nil
}
