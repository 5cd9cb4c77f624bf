// Package pods runs functions with Kubernetes alone, behind ofn's own gateway. The operator has one half of it, Engine: a
// PodTemplate for each Serving and a Service for each Function say what there is to run and who gets which share of the requests.
// The gateway has the other, Follower: it reads them, tells a runner and a router, and writes back how the revisions stand. The
// operator never touches a pod, and the gateway reads nothing else.
package pods

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// again is how soon a name is tried again that somebody else has: its Service is not the function's, and nothing tells when it goes.
const again = 15 * time.Second

// RefTemplate is the key of Status.Objects that only this engine has.
const RefTemplate = "pods/podtemplate"

// Options say where the gateway is.
type Options struct {
	// GatewayNamespace and GatewayName are those of the gateway's Service, whose port is 80.
	GatewayNamespace, GatewayName string
	ClusterDomain                 string // "cluster.local"
	// Domain of the gateway's own, with its port where that is not 80, by which functions are called from outside of the cluster; it may be empty.
	Domain string
}

// Engine is a cluster.Engine.
type Engine struct {
	client  client.Client
	live    client.Reader
	options Options
}

var _ cluster.Engine = (*Engine)(nil)

// New is an engine over a client that reads from a cache, and a reader that does not.
func New(c client.Client, live client.Reader, o Options) *Engine { return &Engine{c, live, o} }

// Kinds are those of which it makes objects. They are without Go types, so that they share the caches of package drift.
func Kinds() []client.Object { return []client.Object{kind(templateKind), kind(serviceKind)} }

func kind(k schema.GroupVersionKind) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(k)
	return u
}

// Apply implements cluster.Engine.
func (e *Engine) Apply(ctx context.Context, s cluster.Service) (cluster.Status, error) {
	out := cluster.Status{Objects: map[string]string{RefTemplate: s.Name}, Revisions: map[string]run.Status{}, Made: map[string]bool{}, TagURLs: map[string]string{}}
	kept := map[string]bool{}
	for i := range s.Revisions {
		r := &s.Revisions[i]
		kept[r.Name] = true
		o, err := e.ensure(ctx, templateOf(&s, r))
		if err != nil {
			return out, refused(err)
		}
		out.Revisions[r.Name], out.Made[r.Name] = standing(o.GetAnnotations()), true
	}
	if err := e.retire(ctx, &s, templateKind, kept); err != nil {
		return out, err
	}
	return out, e.expose(ctx, &s, &out)
}

// expose makes the names by which the function and its tags are called inside the cluster. A name that somebody else has is no
// reason not to run: the function may be coming from another engine, which leaves the name when this one is ready.
func (e *Engine) expose(ctx context.Context, s *cluster.Service, out *cluster.Status) error {
	out.Routed = cluster.Condition{Status: metav1.ConditionTrue}
	kept := map[string]bool{}
	for _, name := range append([]string{s.Name}, tags(s)...) {
		o, err := e.service(s, name)
		if err != nil {
			return err
		}
		kept[name] = true
		_, err = e.ensure(ctx, o)
		if taken := (*drift.Taken)(nil); errors.As(err, &taken) {
			out.Routed, out.Again = cluster.Condition{Status: metav1.ConditionFalse, Reason: "NameTaken", Message: err.Error()}, again
		} else if err != nil {
			return refused(err)
		}
	}
	host := e.host(s.Name, s.Namespace)
	out.Backends = []cluster.Backend{{Namespace: e.options.GatewayNamespace, Name: e.options.GatewayName, Port: 80, Weight: 100, Host: host}}
	for _, t := range s.Traffic {
		if t.Tag != "" {
			out.TagURLs[t.Tag] = "http://" + e.host(tagged(t.Tag, s.Name), s.Namespace)
			if e.options.Domain != "" {
				out.TagURLs[t.Tag] = e.outside(tagged(t.Tag, s.Name), s.Namespace)
			}
		}
	}
	if e.options.Domain != "" {
		out.URL = e.outside(s.Name, s.Namespace)
	}
	return e.retire(ctx, s, serviceKind, kept)
}

// outside is where the gateway serves a name of the cluster for those who are not in it.
func (e *Engine) outside(name, namespace string) string {
	return strings.ToLower(fmt.Sprintf("http://%s.%s.%s/", name, namespace, e.options.Domain))
}

func (e *Engine) host(name, namespace string) string {
	return fmt.Sprintf("%s.%s.svc.%s", name, namespace, e.options.ClusterDomain)
}

func (e *Engine) ensure(ctx context.Context, typed any) (*unstructured.Unstructured, error) {
	wanted, err := drift.Object(typed)
	if err != nil {
		return nil, err
	}
	return drift.Ensure(ctx, e.client, e.live, wanted)
}

// retire deletes what was made of a kind for the function and is not kept.
func (e *Engine) retire(ctx context.Context, s *cluster.Service, k schema.GroupVersionKind, kept map[string]bool) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	if err := e.client.List(ctx, list, client.InNamespace(s.Namespace), client.MatchingLabels{v1beta2.LabelFunction: s.Name, LabelEngine: engineName}); err != nil {
		return fmt.Errorf("listing what was made for %s: %w", s.Name, err)
	}
	for i := range list.Items {
		o := &list.Items[i]
		if own := metav1.GetControllerOf(o); kept[o.GetName()] || own == nil || own.UID != s.Owner.UID || !o.GetDeletionTimestamp().IsZero() {
			continue
		}
		if err := e.client.Delete(ctx, o, client.Preconditions{UID: new(o.GetUID())}); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting %s %s: %w", k.Kind, o.GetName(), err)
		}
	}
	return nil
}

// Remove implements cluster.Engine. The pods go with their PodTemplates.
func (e *Engine) Remove(ctx context.Context, namespace, name string, owner metav1.OwnerReference) error {
	s := &cluster.Service{Namespace: namespace, Name: name, Owner: owner}
	for _, k := range []schema.GroupVersionKind{serviceKind, templateKind} {
		if err := e.retire(ctx, s, k, nil); err != nil {
			return err
		}
	}
	return nil
}

// refused sorts out what is not the operator's to mend.
func refused(err error) error {
	taken := (*drift.Taken)(nil)
	switch {
	case errors.As(err, &taken):
		return &cluster.Refused{Reason: "NameTaken", Err: err}
	case apierrors.IsForbidden(err):
		return &cluster.Refused{Reason: "Forbidden", Err: err} // a quota, a policy, or a right the operator lacks
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &cluster.Refused{Reason: "InvalidTemplate", Err: err}
	}
	return err
}

var (
	templateKind = corev1.SchemeGroupVersion.WithKind("PodTemplate")
	serviceKind  = corev1.SchemeGroupVersion.WithKind("Service")
)
