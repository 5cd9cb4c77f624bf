package cli

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/progress"
)

func keyOf(o client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// named is how a function is given to another command.
func named(key types.NamespacedName) string {
	if key.Namespace == metav1.NamespaceDefault || key.Namespace == "" {
		return key.Name
	}
	return key.Name + " -n " + key.Namespace
}

func target(o client.Object) string { return named(keyOf(o)) }

func targetOf(fn *v1beta2.Function) string { return target(fn) }

// function reads one by its name, and says which there are when it does not exist.
func (s *session) function(ctx context.Context, name string) (*v1beta2.Function, error) {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "function/"), "fn/")
	fn := &v1beta2.Function{}
	err := s.Client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: name}, fn)
	if !apierrors.IsNotFound(err) {
		return fn, err
	}
	var all v1beta2.FunctionList
	if s.Client.List(ctx, &all, client.InNamespace(s.Namespace), client.Limit(20)) != nil || len(all.Items) == 0 {
		return nil, fmt.Errorf("there is no function %q in namespace %s", name, s.Namespace)
	}
	var names []string
	for i := range all.Items {
		names = append(names, all.Items[i].Name)
	}
	return nil, fmt.Errorf("there is no function %q in namespace %s; there are %s", name, s.Namespace, strings.Join(names, ", "))
}

// address is where a function is called from outside; its internal address when there is no other.
func address(fn *v1beta2.Function) string {
	first := ""
	for _, a := range fn.Status.Addresses {
		if a.Type == v1beta2.AddressExternal {
			return a.Value
		}
		if first == "" {
			first = a.Value
		}
	}
	return first
}

// shares is a division of traffic in one line.
func shares(traffic []v1beta2.TrafficStatus) string {
	var out []string
	for _, t := range traffic {
		if t.Percent > 0 {
			out = append(out, fmt.Sprintf("%s (%d%%)", t.RevisionName, t.Percent))
		}
	}
	if len(out) == 0 {
		return "no revision"
	}
	return strings.Join(out, ", ")
}

func durationOf(s *v1beta2.StageStatus) string {
	if s.BuildDuration == nil {
		return "an unknown time"
	}
	return progress.Duration(s.BuildDuration.Duration)
}

func digestOf(fn *v1beta2.Function) string {
	if r := fn.Status.Revision; r != nil && len(r.ImageDigest) > 19 {
		return " as " + r.ImageDigest[:19]
	}
	return ""
}

// failed tells what went wrong and what to look at.
func (s *session) failed(fn *v1beta2.Function, ready *metav1.Condition) {
	w := s.app.env.Err
	b, what, logs := fn.Status.Build, "is not ready", "ofn logs "+target(fn)
	switch {
	case b != nil && b.State.Finished() && b.State != v1beta2.StateSucceeded:
		what, logs = "was not built", logs+" --build"
	case fn.Status.Serving != nil && fn.Status.Serving.ResourceRef != "":
		what = "does not run: revision " + fn.Status.Serving.ResourceRef + " failed"
		logs += " --revision " + fn.Status.Serving.ResourceRef
	}
	fmt.Fprintf(w, "function %s %s: %s\n", fn.Name, what, ready.Reason)
	for line := range strings.Lines(strings.TrimSpace(ready.Message)) {
		fmt.Fprintf(w, "  %s\n", strings.TrimRight(line, "\r\n"))
	}
	if latest := fn.Status.LatestReadyRevision; latest != "" {
		fmt.Fprintf(w, "the traffic stays with %s\n", shares(fn.Status.Traffic))
	}
	fmt.Fprintf(w, "look further with `%s` or `ofn describe %s`\n", logs, target(fn))
}
