package knative

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// troubled says why pods of revisions do not come up: Knative itself says it when its progress deadline is over.
func (e *Engine) troubled(ctx context.Context, s *cluster.Service, out *cluster.Status) error {
	if e.pods == nil {
		return nil
	}
	for name, st := range out.Revisions {
		if !out.Made[name] || st.Phase == run.Ready && st.Starting == 0 {
			continue
		}
		var list corev1.PodList
		if err := e.pods.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{v1beta2.LabelFunction: s.Name, v1beta2.LabelServing: name}); err != nil {
			return fmt.Errorf("listing pods of Knative revision %s: %w", name, err)
		}
		out.Revisions[name] = withTrouble(st, podstatus.Find(list.Items))
	}
	return nil
}

// withTrouble is a status with what pods say, by the reasons of the other engines, whether Knative has given up already or not. A revision that
// is ready stays so, with the reason why there are not more copies of it.
func withTrouble(st run.Status, t podstatus.Trouble) run.Status {
	st.Restarts = max(st.Restarts, t.Restarts)
	switch {
	case t.Reason == "", st.Phase == run.Failed && !st.TimedOut() && !t.Fatal:
		return st
	case t.Fatal && st.Phase == run.Starting:
		st.Phase = run.Failed
	}
	st.Reason, st.Message = t.Reason, t.Message
	return st
}
