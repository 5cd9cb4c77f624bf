// Package configure tells the API server to ask the webhooks: it writes the two configurations and the conversion of the kinds that
// have several versions, and keeps them as they should be. The replica that leads does so.
package configure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openfunction/ofn/internal/control/admission"
	"github.com/openfunction/ofn/internal/control/webhook/certificate"
)

// group ends the groups of the kinds whose objects are looked at. Those of Dapr and KEDA have webhooks of their own on a cluster.
const group = ".openfunction.io"

// serviceRetry is how often a Service that is not there is looked for.
const serviceRetry = 15 * time.Second

// Options of a Controller.
type Options struct {
	// Secret has the certificate and its authorities.
	Secret client.ObjectKey
	// Service is in front of the webhooks. Nothing is written before it is there.
	Service client.ObjectKey
	// URL is where the API server finds the webhooks instead, "https://host:port"; usually empty.
	URL string
	// Names that the certificate is for.
	Names []string
	// Namespace is the only one whose objects are looked at; empty for all.
	Namespace string
	// Informers have the Secret and the two configurations.
	Informers cache.Cache
	// Services reads the Service, once.
	Services client.Reader
	Clock    clock.PassiveClock
	Log      *slog.Logger
}

// Names of the configurations for the objects of one namespace, or of all.
func Names(namespace string) (mutating, validating string) {
	if namespace == "" {
		return admission.MutatingName, admission.ValidatingName
	}
	return admission.MutatingName + "." + namespace, admission.ValidatingName + "." + namespace
}

// Controller keeps the configurations.
type Controller struct {
	client client.Client
	reader client.Reader
	opt    Options
}

// NewController reads definitions and writes with a client, and reads the rest with another, a cache.
func NewController(c client.Client, r client.Reader, o Options) *Controller {
	return &Controller{client: c, reader: r, opt: o}
}

// Name is the controller's.
func (c *Controller) Name() string { return "webhook-configuration" }

// Register looks at everything when any part changes.
func (c *Controller) Register(m ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		WatchesRawSource(source.Kind(c.opt.Informers, &corev1.Secret{}, all[*corev1.Secret](c))).
		WatchesRawSource(source.Kind(c.opt.Informers, &admissionregv1.MutatingWebhookConfiguration{}, all[*admissionregv1.MutatingWebhookConfiguration](c))).
		WatchesRawSource(source.Kind(c.opt.Informers, &admissionregv1.ValidatingWebhookConfiguration{}, all[*admissionregv1.ValidatingWebhookConfiguration](c))).
		WatchesRawSource(source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			return c.followDefinitions(ctx, m.GetCache(), queue)
		})).
		Complete(c)
}

// followDefinitions looks at everything when a definition of ours changes. It does not wait for the other informers of the cache, as a
// Kind source does: that webhooks are used must not depend on what else can be read.
func (c *Controller) followDefinitions(ctx context.Context, informers cache.Informers, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	informer, err := informers.GetInformer(ctx, &apiextensionsv1.CustomResourceDefinition{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching definitions: %w", err)
	}
	own := predicate.NewPredicateFuncs(func(o client.Object) bool { return slices.Contains(Definitions(), o.GetName()) })
	return (&source.Informer{Informer: informer, Handler: all[client.Object](c), Predicates: []predicate.Predicate{own}}).Start(ctx, queue)
}

// all is one request for whatever has changed.
func all[T client.Object](c *Controller) handler.TypedEventHandler[T, reconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(context.Context, T) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: c.opt.Secret}}
	})
}

// Reconcile writes what is not as it should be.
func (c *Controller) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	secret := &corev1.Secret{}
	if err := c.reader.Get(ctx, c.opt.Secret, secret); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err) // it will come
	}
	e, err := c.endpoint(secret)
	if err != nil {
		c.opt.Log.Debug("the webhooks have no certificate yet", "why", err)
		return reconcile.Result{}, nil
	}
	there, err := c.reachable(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !there {
		c.opt.Log.Warn("the webhooks are not used: nothing defaults or checks objects, and core.openfunction.io/v1beta1 cannot be read. Apply config/webhook, or start with --webhooks=false",
			"missing service", c.opt.Service)
		return reconcile.Result{RequeueAfter: serviceRetry}, nil
	}
	err = c.write(ctx, e)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return reconcile.Result{RequeueAfter: time.Second}, nil // what came between comes with an event, usually earlier
	}
	return reconcile.Result{}, err
}

// reachable says whether the API server could reach the webhooks at all. Configurations that name nothing would stop every write.
func (c *Controller) reachable(ctx context.Context) (bool, error) {
	mutating, _ := Names(c.opt.Namespace)
	if c.opt.URL != "" || c.reader.Get(ctx, client.ObjectKey{Name: mutating}, &admissionregv1.MutatingWebhookConfiguration{}) == nil {
		return true, nil
	}
	// Only its metadata: this is the one Service that is ever read.
	service := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}}
	err := c.opt.Services.Get(ctx, c.opt.Service, service)
	if client.IgnoreNotFound(err) != nil && !meta.IsNoMatchError(err) {
		return false, fmt.Errorf("looking for the Service of the webhooks: %w", err)
	}
	return err == nil, nil
}

// endpoint is where the API server is to ask, and the certificate there.
type endpoint struct {
	admission.Endpoint
	material certificate.Material
}

// endpoint fails when the Secret has no certificate that could be used.
func (c *Controller) endpoint(s *corev1.Secret) (endpoint, error) {
	e := endpoint{Endpoint: admission.Endpoint{URL: c.opt.URL}, material: certificate.Parse(s.Data)}
	if e.URL == "" {
		e.Service = &admission.Service{Namespace: c.opt.Service.Namespace, Name: c.opt.Service.Name}
	}
	if certificate.Managed(s) { // perhaps with no authority of its own, or the certificate itself as one
		e.CABundle = s.Data[certificate.KeyAuthorities]
		if e.material.Certificate() == nil {
			return e, errors.New("cert-manager has not written it")
		}
		return e, nil
	}
	e.CABundle = e.material.Bundle()
	return e, e.material.Check(c.opt.Clock.Now(), c.opt.Names)
}

func (c *Controller) write(ctx context.Context, e endpoint) error {
	mutating, validating := e.Configurations()
	mutating.Name, validating.Name = Names(c.opt.Namespace)
	c.scopeMutating(mutating)
	c.scopeValidating(validating)
	if err := c.keep(ctx, mutating, &admissionregv1.MutatingWebhookConfiguration{}, e); err != nil {
		return fmt.Errorf("writing MutatingWebhookConfiguration %s: %w", mutating.Name, err)
	}
	if err := c.keep(ctx, validating, &admissionregv1.ValidatingWebhookConfiguration{}, e); err != nil {
		return fmt.Errorf("writing ValidatingWebhookConfiguration %s: %w", validating.Name, err)
	}
	return c.convert(ctx, e)
}
