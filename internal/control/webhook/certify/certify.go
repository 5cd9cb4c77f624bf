// Package certify keeps the Secret with the certificate of the webhooks, and hands the certificate to the server. Every replica does
// so, whichever leads: one that starts beside a leader of an older version is ready by itself. They decide alike, from the content of the
// Secret and the time, and a write that another was faster with is refused by the API server and not tried again.
package certify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openfunction/ofn/internal/control/webhook/certificate"
)

// How often the Secret may be written when somebody else, a GitOps tool or a replica whose clock is wrong, undoes it each time.
const (
	writesAtOnce = 10
	writeEach    = time.Minute
)

// Served is the certificate that a server answers with at the moment. Its methods can be called at any time.
type Served struct {
	current atomic.Pointer[tls.Certificate]
}

// GetCertificate is for a tls.Config.
func (s *Served) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := s.current.Load()
	if c == nil {
		return nil, errors.New("there is no certificate for the webhooks yet")
	}
	return c, nil
}

// Check says whether there is a certificate that has not ended.
func (s *Served) Check(now time.Time) error {
	c, err := s.GetCertificate(nil)
	if err == nil && now.After(c.Leaf.NotAfter) {
		err = fmt.Errorf("the certificate of the webhooks ended at %v", c.Leaf.NotAfter)
	}
	return err
}

// Options of a Controller.
type Options struct {
	// Secret is where the certificate is kept. The informers have it, and may have no other.
	Secret    client.ObjectKey
	Informers cache.Cache
	// Names and addresses of the server.
	Names  []string
	Served *Served
	Clock  clock.PassiveClock
	Log    *slog.Logger
}

// Controller keeps the Secret.
type Controller struct {
	writer client.Writer
	reader client.Reader
	opt    Options
	writes *rate.Limiter
}

// NewController writes with one client and reads with another, a cache.
func NewController(w client.Writer, r client.Reader, o Options) *Controller {
	return &Controller{writer: w, reader: r, opt: o, writes: rate.NewLimiter(rate.Every(writeEach), writesAtOnce)}
}

// Name is the controller's.
func (c *Controller) Name() string { return "webhook-certificate" }

// Register looks at the Secret when it changes, and at the start, when there may be none.
func (c *Controller) Register(m ctrl.Manager) error {
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{NamespacedName: c.opt.Secret})
		return nil
	})
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		WatchesRawSource(source.Kind(c.opt.Informers, &corev1.Secret{}, &handler.TypedEnqueueRequestForObject[*corev1.Secret]{})).
		WatchesRawSource(first).
		WithOptions(controller.Options{NeedLeaderElection: new(false)}).
		Complete(c)
}

// Reconcile renews what is due, and serves what there is.
func (c *Controller) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	found := &corev1.Secret{}
	if err := c.reader.Get(ctx, c.opt.Secret, found); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading the certificate of the webhooks: %w", err)
	}
	now := c.opt.Clock.Now()
	material := certificate.Parse(found.Data)
	if certificate.Managed(found) {
		c.serve(material)
		return reconcile.Result{}, nil
	}
	material, reasons, err := material.Renewed(now, c.opt.Names)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("renewing the certificate of the webhooks: %w", err)
	}
	if len(reasons) > 0 {
		if wait := c.wait(now); wait > 0 {
			c.opt.Log.Warn("the certificate of the webhooks is undone again and again; who else writes this Secret?", "secret", c.opt.Secret, "again", wait)
			return reconcile.Result{RequeueAfter: wait}, nil
		}
		written, err := c.write(ctx, found, material)
		if err != nil || !written {
			return reconcile.Result{RequeueAfter: time.Second}, err // if not written, the other's comes with an event, usually earlier
		}
		c.opt.Log.Info("the certificate of the webhooks is renewed", "secret", c.opt.Secret, "why", reasons, "until", material.Certificate().Leaf.NotAfter)
	}
	c.serve(material)
	return reconcile.Result{RequeueAfter: material.Next(now).Sub(now)}, nil
}

func (c *Controller) serve(m certificate.Material) {
	if s := m.Certificate(); s != nil {
		c.opt.Served.current.Store(s)
	}
}

// wait is how long the next write must wait; zero when it may be now.
func (c *Controller) wait(now time.Time) time.Duration {
	r := c.writes.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// write returns false when somebody else has written first.
func (c *Controller) write(ctx context.Context, found *corev1.Secret, m certificate.Material) (bool, error) {
	data, err := m.Data()
	if err != nil {
		return false, err
	}
	exists := found.ResourceVersion != ""
	if !exists {
		err = c.writer.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: c.opt.Secret.Namespace, Name: c.opt.Secret.Name, Labels: map[string]string{"app.kubernetes.io/managed-by": "ofn-operator"}},
			Type:       corev1.SecretTypeTLS, Data: data,
		})
	} else {
		changed := found.DeepCopy()
		changed.Data = maps.Clone(found.Data)
		if changed.Data == nil {
			changed.Data = map[string][]byte{}
		}
		maps.Copy(changed.Data, data)
		err = c.writer.Update(ctx, changed)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), exists && apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("keeping the certificate of the webhooks in %s: %w", c.opt.Secret, err)
	}
	return true, nil
}
