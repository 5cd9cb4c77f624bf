// Package kedahttp runs functions with KEDA and its HTTP add-on: one Deployment and one Service of the same name for each Serving, whose
// copies follow the requests that the add-on's interceptor holds for it. It speaks http.keda.sh and keda.sh in fields of its own,
// because their Go packages would bring 62 modules.
//
// A revision starts with one copy and without a scaler. When that copy has been ready the revision is proven: it gets its ScaledObject, by
// which it goes to zero and comes back. A revision that no longer takes requests keeps its scaler until it is at zero, so that what
// is under way ends, and a rollback within that time finds it warm.
//
// The interceptor sends requests where their host says. Each revision with requests has hosts of its own, to which a route of the
// Gateway API rewrites, dividing them by weight; the hosts of the function itself belong to one revision, that with the greatest share.
package kedahttp

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// labelEngine marks what this engine makes, among what others make for the same function.
const labelEngine, engineName = "openfunction.io/run-engine", "keda-http"

var (
	deploymentKind   = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	serviceKind      = schema.GroupVersionKind{Version: "v1", Kind: "Service"}
	scaledObjectKind = schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}
	routeKind        = schema.GroupVersionKind{Group: "http.keda.sh", Version: "v1beta1", Kind: "InterceptorRoute"}
	olderKind        = schema.GroupVersionKind{Group: "http.keda.sh", Version: "v1alpha1", Kind: "HTTPScaledObject"}
)

// Names of the add-on's Services, and their ports, as its manifests and its chart have them.
const (
	proxyService  = "keda-add-ons-http-interceptor-proxy"
	scalerService = "keda-add-ons-http-external-scaler"
	scalerPort    = 9090
	// DefaultProxyPort is where the interceptor takes requests.
	DefaultProxyPort = 8080
)

// Options say how the cluster has the add-on.
type Options struct {
	// Namespace of the add-on, "keda" by default.
	Namespace string
	// ProxyPort is the port of the interceptor's Service; 0 is DefaultProxyPort.
	ProxyPort int32
	// ClusterDomain ends the internal names, "cluster.local".
	ClusterDomain string
	// Routes says whether the cluster serves InterceptorRoute (since version 0.14 of the add-on) now. Where it does not, HTTPScaledObject
	// is used.
	Routes func(context.Context) (bool, error)
}

// Engine makes Deployments behind the interceptor.
type Engine struct {
	client  client.Client
	live    client.Reader
	options Options
}

// New is an engine over a client that reads from a cache, and a reader that does not.
func New(c client.Client, live client.Reader, o Options) *Engine {
	if o.Namespace == "" {
		o.Namespace = "keda"
	}
	if o.ProxyPort == 0 {
		o.ProxyPort = DefaultProxyPort
	}
	return &Engine{client: c, live: live, options: o}
}

var _ cluster.Engine = (*Engine)(nil)

// Kinds are Kubernetes' own kinds that the engine makes. They are to be watched in this form, in which it reads them.
func Kinds() []client.Object {
	var out []client.Object
	for _, k := range []schema.GroupVersionKind{deploymentKind, serviceKind} {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(k)
		out = append(out, u)
	}
	return out
}

// Apply implements cluster.Engine.
func (e *Engine) Apply(ctx context.Context, s cluster.Service) (cluster.Status, error) {
	routes, err := e.options.Routes(ctx)
	if err != nil {
		return cluster.Status{}, fmt.Errorf("looking for the versions of KEDA's HTTP add-on: %w", err)
	}
	w := &work{Engine: e, service: &s, routes: routes, keep: map[key]bool{}}
	if w.have, err = e.read(ctx, s.Namespace, s.Name, &s.Owner, routes); err != nil {
		return cluster.Status{}, err
	}
	w.plan()
	// What requests are to reach is there before they are led to it, and what they no longer reach goes after that.
	for _, step := range []func(context.Context) error{w.start, w.lead, w.names, w.retire, w.stop} {
		if err := step(ctx); err != nil {
			return cluster.Status{}, refused(err)
		}
	}
	return w.status(ctx)
}

// Remove implements cluster.Engine.
func (e *Engine) Remove(ctx context.Context, namespace, name string, owner metav1.OwnerReference) error {
	routes, err := e.options.Routes(ctx)
	if err != nil {
		return fmt.Errorf("looking for the versions of KEDA's HTTP add-on: %w", err)
	}
	have, err := e.read(ctx, namespace, name, &owner, routes)
	if err != nil {
		return err
	}
	w := &work{Engine: e, have: have, keep: map[key]bool{}}
	return w.retire(ctx)
}

// key is that of an object in a namespace.
type key struct{ kind, name string }

func keyOf(o *unstructured.Unstructured) key { return key{o.GetKind(), o.GetName()} }

// read finds everything that was made for a function, by kind and name. HTTPScaledObjects are looked for even where they are no longer
// used: an add-on that was upgraded has both.
func (e *Engine) read(ctx context.Context, namespace, name string, owner *metav1.OwnerReference, routes bool) (map[key]*unstructured.Unstructured, error) {
	kinds := []schema.GroupVersionKind{olderKind, scaledObjectKind, serviceKind, deploymentKind}
	if routes {
		kinds = append(kinds, routeKind)
	}
	out := map[key]*unstructured.Unstructured{}
	for _, k := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(k)
		if err := e.client.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{v1beta2.LabelFunction: name, labelEngine: engineName}); err != nil {
			return nil, fmt.Errorf("listing %ss of function %s: %w", k.Kind, name, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			// The ScaledObject of an HTTPScaledObject is the add-on's to keep; how it stands is of interest.
			if own := metav1.GetControllerOf(o); own != nil && (own.UID == owner.UID || own.Kind == olderKind.Kind) {
				out[keyOf(o)] = o
			}
		}
	}
	return out, nil
}

// refused sorts out what is not the operator's to mend.
func refused(err error) error {
	var taken *drift.Taken
	switch {
	case errors.As(err, &taken):
		return &cluster.Refused{Reason: "NameTaken", Err: err}
	case apierrors.IsForbidden(err):
		reason := "Forbidden"
		if said := podstatus.Refusal(err.Error()); said != podstatus.ReasonRefused {
			reason = said
		}
		return &cluster.Refused{Reason: reason, Err: err}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &cluster.Refused{Reason: "InvalidTemplate", Err: err}
	default:
		return err
	}
}
