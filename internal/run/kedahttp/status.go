package kedahttp

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// again is how soon a name is tried again that somebody else has: its Service is not the function's, and nothing tells when it goes.
const again = 15 * time.Second

// status is how everything stands.
func (w *work) status(ctx context.Context) (cluster.Status, error) {
	out := cluster.Status{Own: map[string]map[string]string{}, Revisions: map[string]run.Status{}, Made: map[string]bool{}, TagURLs: map[string]string{},
		Internal: w.address(w.service.Name), Routed: w.routed()}
	if w.taken != nil {
		out.Again = again
	}
	for i := range w.copies {
		c := &w.copies[i]
		out.Made[c.Name], out.Own[c.Name] = true, map[string]string{v1beta2.RefKedaHTTPDeployment: c.Name}
		if !c.run && !c.proven {
			continue // what was said of it last is all that is to be said
		}
		st, err := podstatus.OfObject(ctx, w.client, c.deployment, c.proven)
		if err != nil {
			return out, fmt.Errorf("reading how revision %s stands: %w", c.Name, err)
		}
		out.Revisions[c.Name] = st
	}
	for _, t := range w.service.Traffic {
		if t.Tag != "" {
			out.TagURLs[t.Tag] = w.address(tagged(t.Tag, w.service.Name))
		}
	}
	out.Backends = w.backends()
	return out, nil
}

// backends are the interceptor, once for each revision with a share, by the host that is the revision's alone.
func (w *work) backends() []cluster.Backend {
	traffic := w.service.Traffic
	if len(traffic) == 0 {
		traffic = []cluster.Share{{Revision: w.service.Newest().Name, Percent: 100}}
	}
	var out []cluster.Backend
	for _, t := range traffic {
		if t.Percent > 0 {
			out = append(out, cluster.Backend{Namespace: w.options.Namespace, Name: proxyService, Port: w.options.ProxyPort, Weight: int32(t.Percent), Host: w.own(t.Revision)})
		}
	}
	return out
}

// routed is whether the function's own hosts lead where Traffic says.
func (w *work) routed() cluster.Condition {
	if w.taken != nil {
		return cluster.Condition{Status: metav1.ConditionFalse, Reason: "NameTaken", Message: w.taken.Error()}
	}
	for i := range w.copies {
		c := &w.copies[i]
		if !c.live {
			continue
		}
		if said := w.scaled(c); said.Status != metav1.ConditionTrue {
			return said
		}
	}
	if w.shared {
		return cluster.Condition{Status: metav1.ConditionUnknown, Reason: "DividedByGatewayOnly", Message: fmt.Sprintf(
			"KEDA's HTTP add-on does not divide requests: those from inside the cluster all go to revision %s; a Gateway of the Gateway API divides those that come through it as serving.traffic says", mainOf(w.service))}
	}
	return cluster.Condition{Status: metav1.ConditionTrue, Reason: "Routed"}
}

// scaled is whether KEDA has taken a live revision up.
func (w *work) scaled(c *copies) cluster.Condition {
	if !c.proven {
		if w.routes {
			return cluster.Condition{Status: metav1.ConditionTrue}
		}
		return cluster.Condition{Status: metav1.ConditionUnknown, Reason: "NoReadyRevision", Message: "revision " + c.Name + " gets its route when it has been ready"}
	}
	o := w.have[w.scaler(c.Name)]
	if o == nil {
		return cluster.Condition{Status: metav1.ConditionUnknown, Reason: "Reconciling", Message: "KEDA has not taken up revision " + c.Name + " yet"}
	}
	ready := readyOf(o)
	switch ready.Status {
	case metav1.ConditionTrue:
		return cluster.Condition{Status: metav1.ConditionTrue}
	case metav1.ConditionFalse:
		return cluster.Condition{Status: metav1.ConditionFalse, Reason: "ScalerNotReady", Message: fmt.Sprintf("%s %s: %s (%s)", o.GetKind(), o.GetName(), ready.Message, ready.Reason)}
	default:
		if ready.Message != "" { // one that is new says nothing
			return cluster.Condition{Status: metav1.ConditionUnknown, Reason: "ScalerNotReady", Message: fmt.Sprintf("%s %s: %s (%s)", o.GetKind(), o.GetName(), ready.Message, ready.Reason)}
		}
		return cluster.Condition{Status: metav1.ConditionUnknown, Reason: "Reconciling", Message: "KEDA has not taken up revision " + c.Name + " yet; if that remains so, look whether its operator and the add-on's run in namespace " + w.options.Namespace}
	}
}

// readyOf is the condition Ready of an object of KEDA's, which may not have any yet.
func readyOf(o *unstructured.Unstructured) metav1.Condition {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, each := range all {
		c, ok := each.(map[string]any)
		if !ok || c["type"] != "Ready" {
			continue
		}
		status, _ := c["status"].(string)
		reason, _ := c["reason"].(string)
		message, _ := c["message"].(string)
		return metav1.Condition{Status: metav1.ConditionStatus(status), Reason: reason, Message: message}
	}
	return metav1.Condition{Status: metav1.ConditionUnknown}
}
