package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// growWithin is how long a node may take to say that it has the resources for a copy.
const growWithin = 3 * time.Second

func empty(r corev1.ResourceRequirements) bool {
	return len(r.Requests) == 0 && len(r.Limits) == 0 && len(r.Claims) == 0
}

// grown are the resources of a warm pod that becomes a copy: those that are wanted, and its own requests where nothing is. It cannot
// when they are others than processor and memory, or when they would make a pod of another class (QoS), which a pod keeps for life:
// warm pods request something and are bounded by nothing, which is Burstable.
func grown(own, want corev1.ResourceRequirements) (out corev1.ResourceRequirements, ok bool) {
	if empty(want) {
		return own, true
	}
	if len(own.Requests) == 0 || len(own.Limits) > 0 || len(want.Claims) > 0 {
		return out, false
	}
	out.Requests, out.Limits = maps.Clone(own.Requests), maps.Clone(want.Limits)
	for name, q := range want.Limits {
		out.Requests[name] = q // as the API server says where there is no request
	}
	maps.Copy(out.Requests, want.Requests)
	for name := range out.Requests {
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
			return out, false
		}
	}
	return out, !guaranteed(out)
}

func guaranteed(r corev1.ResourceRequirements) bool {
	return !slices.ContainsFunc([]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}, func(name corev1.ResourceName) bool {
		limit, bound := r.Limits[name]
		return !bound || !limit.Equal(r.Requests[name])
	})
}

// grow gives a pod the resources of a template, and returns when its node has them for it.
func (p *Pool) grow(ctx context.Context, w *pod, t *corev1.PodTemplate) error {
	i := slices.IndexFunc(t.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == p.opt.Container })
	want := t.Template.Spec.Containers[i].Resources
	if empty(want) {
		return nil
	}
	to, _ := grown(p.opt.Resources, want) // Take has asked whether it can be
	ctx, cancel := context.WithTimeoutCause(ctx, growWithin, errors.New("its node did not answer in time"))
	defer cancel()
	seen := make(chan *corev1.Pod, 1)
	p.mu.Lock()
	p.growing[w.key] = seen
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.growing, w.key)
		p.mu.Unlock()
	}()
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": p.opt.Container, "resources": to}}}})
	if err != nil {
		return err
	}
	o := named(w.key)
	if err := p.opt.Client.SubResource("resize").Patch(ctx, o, client.RawPatch(types.StrategicMergePatchType, data)); err != nil {
		return fmt.Errorf("giving it its resources: %w", err)
	}
	for {
		if done, err := p.has(o, to.Requests); done || err != nil {
			return err
		}
		select {
		case o = <-seen:
		case <-ctx.Done():
			return fmt.Errorf("giving it its resources: %w", context.Cause(ctx))
		}
	}
}

// has is whether the node has what a pod requests.
func (p *Pool) has(o *corev1.Pod, requests corev1.ResourceList) (bool, error) {
	for _, c := range o.Status.Conditions {
		if c.Type == corev1.PodResizePending && c.Status == corev1.ConditionTrue {
			return false, fmt.Errorf("giving it its resources: %s: %s", c.Reason, c.Message)
		}
	}
	for _, c := range o.Status.ContainerStatuses {
		if c.Name == p.opt.Container {
			return maps.EqualFunc(c.AllocatedResources, requests, func(a, b resource.Quantity) bool { return a.Equal(b) }), nil
		}
	}
	return false, nil
}
