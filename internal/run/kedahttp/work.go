package kedahttp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// work is one Apply.
type work struct {
	*Engine
	service *cluster.Service
	routes  bool // InterceptorRoutes are served
	have    map[key]*unstructured.Unstructured
	keep    map[key]bool
	copies  []copies
	shared  bool // among several revisions
	taken   *drift.Taken
}

// copies is one revision and what is to become of it.
type copies struct {
	*cluster.Revision
	// live is whether requests are sent to it, main whether the function's own hosts lead to it.
	live, main bool
	// proven is whether it has been ready.
	proven bool
	// run is whether it has copies, or may have: it is live, or is to be proven, or its last requests may not be over.
	run bool
	// tags are the names that lead to it beside.
	tags []string
	// deployment is as it stands.
	deployment *unstructured.Unstructured
}

// annotationProven keeps on a Deployment that it was ready, for the time when it has no copies.
const annotationProven = "openfunction.io/proven"

// plan decides about every revision.
func (w *work) plan() {
	s := w.service
	main := mainOf(s)
	positive := 0
	for _, t := range s.Traffic {
		if t.Percent > 0 {
			positive++
		}
	}
	w.shared = positive > 1
	for i := range s.Revisions {
		r := &s.Revisions[i]
		c := copies{Revision: r, main: r.Name == main, deployment: w.have[key{deploymentKind.Kind, r.Name}]}
		c.live = c.main
		for _, t := range s.Traffic {
			if t.Revision != r.Name {
				continue
			}
			c.live = c.live || t.Percent > 0 || t.Tag != ""
			if t.Tag != "" {
				c.tags = append(c.tags, t.Tag)
			}
		}
		c.proven = r.Proven || provenBy(c.deployment)
		newest := i == len(s.Revisions)-1 // which gets the requests when it is proven, unless the user gave them to others
		c.run = c.live || newest && !(c.proven && s.Pinned) || c.proven && w.have[w.scaler(r.Name)] != nil && replicasOf(c.deployment) > 0
		if c.run || c.deployment != nil { // one that is kept to roll back to is made when that happens
			w.copies = append(w.copies, c)
		}
	}
}

// mainOf is the revision with the greatest share of the requests, of equals the newest.
func mainOf(s *cluster.Service) string {
	main, most := s.Newest().Name, int64(0)
	for _, t := range s.Traffic {
		if t.Percent > 0 && t.Percent >= most {
			main, most = t.Revision, t.Percent
		}
	}
	return main
}

func provenBy(deployment *unstructured.Unstructured) bool {
	if deployment == nil {
		return false
	}
	ready, _, _ := unstructured.NestedInt64(deployment.Object, "status", "readyReplicas")
	return ready > 0 || deployment.GetAnnotations()[annotationProven] == "true"
}

func replicasOf(deployment *unstructured.Unstructured) int64 {
	if deployment == nil {
		return 0
	}
	n, ok, _ := unstructured.NestedInt64(deployment.Object, "spec", "replicas")
	if !ok {
		return 1
	}
	return n
}

// scaler is the object that scales a revision.
func (w *work) scaler(revision string) key {
	if w.routes {
		return key{scaledObjectKind.Kind, revision}
	}
	return key{olderKind.Kind, revision}
}

// ensure makes an object and keeps it.
func (w *work) ensure(ctx context.Context, v any) (*unstructured.Unstructured, error) {
	o, err := drift.Object(v)
	if err != nil {
		return nil, err
	}
	unstructured.RemoveNestedField(o.Object, "status")
	w.keep[keyOf(o)] = true
	return drift.Ensure(ctx, w.client, w.live, o)
}

// start sees to the revisions that run.
func (w *work) start(ctx context.Context) error {
	return w.deploy(ctx, true)
}

// stop sees to those that do not.
func (w *work) stop(ctx context.Context) error {
	return w.deploy(ctx, false)
}

// continued is a Deployment that was written with what is known of the one before: what was not written of it is as it was, and its
// status, which is not about the change yet.
func continued(before, after *unstructured.Unstructured) *unstructured.Unstructured {
	if _, ok := after.Object["status"]; ok || before == nil {
		return after
	}
	after = after.DeepCopy()
	after.Object["status"] = before.DeepCopy().Object["status"]
	after.SetGeneration(before.GetGeneration() + 1)
	if _, ok, _ := unstructured.NestedInt64(after.Object, "spec", "replicas"); !ok {
		_ = unstructured.SetNestedField(after.Object, replicasOf(before), "spec", "replicas") // spec is a map: it has a selector
	}
	return after
}

func (w *work) deploy(ctx context.Context, run bool) error {
	for i := range w.copies {
		c := &w.copies[i]
		w.keep[key{deploymentKind.Kind, c.Name}], w.keep[key{serviceKind.Kind, c.Name}] = true, true
		if c.run != run {
			continue
		}
		d, err := w.deployment(c)
		if err != nil {
			return err
		}
		after, err := w.ensure(ctx, d)
		if err != nil {
			return err
		}
		c.deployment = continued(c.deployment, after)
		if _, err := w.ensure(ctx, w.revisionService(c)); err != nil {
			return err
		}
	}
	return nil
}

// lead makes the routes and scalers of the revisions that run, first that to which the function's own hosts lead: while two have them the
// older one gets the requests.
func (w *work) lead(ctx context.Context) error {
	order := make([]*copies, 0, len(w.copies))
	for i := range w.copies {
		order = append(order, &w.copies[i])
	}
	slices.SortStableFunc(order, func(a, b *copies) int { return rank(a) - rank(b) })
	for _, c := range order {
		if !c.run {
			continue
		}
		var err error
		if w.routes {
			err = w.leadByRoute(ctx, c)
		} else if c.proven { // an HTTPScaledObject takes the copies away at once
			_, err = w.ensure(ctx, w.httpScaledObject(c))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func rank(c *copies) int {
	if c.main {
		return 0
	}
	return 1
}

func (w *work) leadByRoute(ctx context.Context, c *copies) error {
	if _, err := w.ensure(ctx, w.interceptorRoute(c)); err != nil || !c.proven {
		return err
	}
	if o := w.have[w.scaler(c.Name)]; o != nil && metav1.GetControllerOf(o).Kind == olderKind.Kind {
		return nil // it goes with its HTTPScaledObject, and its end comes as an event
	}
	_, err := w.ensure(ctx, w.scaledObject(c))
	return err
}

// names makes the names by which the function is called inside the cluster. The Service of another engine may have one still, until
// this one has taken the function over: that is for the condition, not for the revision.
func (w *work) names(ctx context.Context) error {
	names := []string{w.service.Name}
	for _, c := range w.copies {
		for _, tag := range c.tags {
			names = append(names, tagged(tag, w.service.Name))
		}
	}
	for _, name := range names {
		_, err := w.ensure(ctx, w.nameService(name))
		if errors.As(err, &w.taken) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// retire deletes what is not wanted any more, that which leads requests first.
func (w *work) retire(ctx context.Context) error {
	kinds := []string{routeKind.Kind, olderKind.Kind, scaledObjectKind.Kind, serviceKind.Kind, deploymentKind.Kind}
	for _, kind := range kinds {
		for k, o := range w.have {
			if k.kind != kind || w.keep[k] || !o.GetDeletionTimestamp().IsZero() || metav1.GetControllerOf(o).Kind == olderKind.Kind {
				continue
			}
			uid := o.GetUID()
			if err := w.client.Delete(ctx, o, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting %s %s: %w", k.kind, k.name, err)
			}
		}
	}
	return nil
}
