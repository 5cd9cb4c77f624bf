package delegate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/engines"
)

// Choice is an engine that Builders may be built with.
type Choice struct {
	// Name is one of the BuildEngine constants of the API, Title what people call it.
	Name, Title string
	Engine      Engine
	// Needs is what must be on the cluster; nil is nothing but Kubernetes.
	Needs *engines.Engine
	// Own is whether what it makes is in Options.Objects.
	Own bool
	// Lacks is what else is missing for it, and what to do; empty when nothing is.
	Lacks string
	// Refuses says why it cannot build this Builder, whatever is installed; empty when it can. nil never refuses.
	Refuses func(b *v1beta2.Builder) string
}

// choose is the engine of a Builder: the one that it was given to before, else the one that it names, else the first that is there
// and can build it. The progress, when it has a stage, says why there is none. why is what is wrong with the better ones.
func (c *Controller) choose(ctx context.Context, b *v1beta2.Builder) (chosen *Choice, why string, p build.Progress, err error) {
	if name := given(b); name != "" {
		chosen, p = c.called(name)
		return chosen, "", p, nil
	}
	name, said, err := c.named(ctx, b)
	if err != nil {
		return nil, "", p, err
	}
	if name != "" {
		if chosen, p = c.called(name); chosen == nil {
			return nil, "", p, nil
		}
		not, reason, err := c.unfit(ctx, b, chosen)
		if not != "" {
			chosen, p = nil, waiting(reason, said+" asks for "+chosen.Title+"; "+not)
		}
		return chosen, said + " asks for it", p, err
	}
	var against []string
	first := ""
	for i := range c.options.Choices {
		chosen = &c.options.Choices[i]
		not, reason, err := c.unfit(ctx, b, chosen)
		if err != nil {
			return nil, "", p, err
		}
		if not == "" {
			return chosen, strings.Join(against, "; "), p, nil
		}
		if first == "" {
			first = reason
		}
		against = append(against, not)
	}
	return nil, "", waiting(first, "nothing here can build this; any one of these would do: "+strings.Join(against, "; ")), nil
}

func waiting(reason, message string) build.Progress {
	p := build.Progress{Stage: build.Waiting, Reason: reason, Message: message}
	if reason == engineUnsuitable {
		p.Stage = build.Failed
	}
	return p
}

// given is the engine that a Builder was given to. Those of an older operator have only what Shipwright made.
func given(b *v1beta2.Builder) string {
	if name := b.Status.ResourceRef[v1beta2.RefBuildEngine]; name != "" {
		return name
	}
	if b.Status.ResourceRef[v1beta2.RefShipwrightBuildRun] != "" {
		return v1beta2.BuildEngineShipwright
	}
	return ""
}

// named is the engine that a Builder asks for, and by what.
func (c *Controller) named(ctx context.Context, b *v1beta2.Builder) (engine, by string, err error) {
	if name := b.Annotations[v1beta2.AnnotationBuildEngine]; name != "" {
		return name, "annotation " + v1beta2.AnnotationBuildEngine, nil
	}
	if fn := b.Labels[v1beta2.LabelFunction]; fn != "" {
		f := &v1beta2.Function{}
		if err := c.client.Get(ctx, types.NamespacedName{Namespace: b.Namespace, Name: fn}, f); client.IgnoreNotFound(err) != nil {
			return "", "", fmt.Errorf("reading function %s: %w", fn, err)
		}
		if name := f.Annotations[v1beta2.AnnotationBuildEngine]; name != "" {
			return name, "annotation " + v1beta2.AnnotationBuildEngine + " of the function", nil
		}
	}
	switch s := b.Spec.Shipwright; {
	case s != nil && (len(s.Params) > 0 || s.Strategy != nil && s.Strategy.Name != "" && s.Strategy.Name != v1beta2.WasmBuildStrategy):
		return v1beta2.BuildEngineShipwright, "build.shipwright", nil
	case b.Spec.Builder != nil && *b.Spec.Builder == "native":
		return v1beta2.BuildEngineJob, "build.builder", nil
	default: // the strategy for WebAssembly is a default, and ofn's own build does it as well
		return "", "", nil
	}
}

// called is the engine of a name; without one the progress says so.
func (c *Controller) called(name string) (*Choice, build.Progress) {
	at := slices.IndexFunc(c.options.Choices, func(x Choice) bool { return x.Name == name })
	if at >= 0 {
		return &c.options.Choices[at], build.Progress{}
	}
	var known []string
	for _, x := range c.options.Choices {
		known = append(known, x.Name)
	}
	return nil, build.Progress{Stage: build.Failed, Reason: "BuildEngineUnknown",
		Message: fmt.Sprintf("there is no build engine %q; annotation %s may be %s", name, v1beta2.AnnotationBuildEngine, strings.Join(known, ", "))}
}

// unfit is what keeps an engine from building a Builder: nothing, or a text and the reason of a condition.
func (c *Controller) unfit(ctx context.Context, b *v1beta2.Builder, x *Choice) (not, reason string, err error) {
	if x.Refuses != nil {
		if not := x.Refuses(b); not != "" {
			return x.Title + ": " + not, engineUnsuitable, nil
		}
	}
	if x.Lacks != "" {
		return x.Title + ": " + x.Lacks, engineMissing, nil
	}
	if x.Needs == nil {
		return "", "", nil
	}
	err = c.options.Engines.Check(ctx, *x.Needs)
	if lacks := (*engines.Missing)(nil); errors.As(err, &lacks) {
		return lacks.Error(), lacks.Reason(), nil
	}
	return "", "", err
}
