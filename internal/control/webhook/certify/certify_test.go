package certify_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/internal/control/webhook/certificate"
	"github.com/openfunction/ofn/internal/control/webhook/certify"
)

var (
	start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	names = []string{"ofn-webhook.openfunction.svc"}
	key   = client.ObjectKey{Namespace: "openfunction", Name: "ofn-webhook-certificates"}
)

// replica is one of several operators.
type replica struct {
	*certify.Controller
	served *certify.Served
	clock  *clocktesting.FakePassiveClock
}

func newReplica(c client.Client) replica {
	r := replica{served: &certify.Served{}, clock: clocktesting.NewFakePassiveClock(start)}
	r.Controller = certify.NewController(c, c, certify.Options{Secret: key, Names: names, Served: r.served, Clock: r.clock, Log: slog.New(slog.DiscardHandler)})
	return r
}

func (r replica) reconcile(t *testing.T) reconcile.Result {
	t.Helper()
	result, err := r.Reconcile(context.Background(), reconcile.Request{NamespacedName: key})
	if err != nil {
		t.Error(err)
	}
	return result
}

func (r replica) leaf(t *testing.T) []byte {
	t.Helper()
	if err := r.served.Check(r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	c, err := r.served.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Certificate[0]
}

func read(t *testing.T, c client.Client) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	if err := c.Get(t.Context(), key, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Several replicas that start at once, each of which finds nothing, end with one certificate, written once.
func TestTogether(t *testing.T) {
	const replicas = 8
	var arrived sync.WaitGroup
	arrived.Add(replicas)
	var written sync.Map
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			arrived.Done()
			arrived.Wait() // until all have decided
			err := w.Create(ctx, o, opts...)
			if err == nil {
				written.Store(o, true)
			}
			return err
		},
	}).Build()
	all := make([]replica, replicas)
	var running sync.WaitGroup
	for i := range all {
		all[i] = newReplica(c)
		running.Go(func() { all[i].reconcile(t) })
	}
	running.Wait()
	n := 0
	written.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("written %d times", n)
	}
	version := read(t, c).ResourceVersion
	for _, r := range all {
		r.reconcile(t) // what the other's write brings about
		if !bytes.Equal(r.leaf(t), all[0].leaf(t)) {
			t.Error("replicas serve different certificates")
		}
	}
	if got := read(t, c).ResourceVersion; got != version {
		t.Error("written again")
	}
}

func TestReplaced(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).Build()
	if err := newReplica(c).served.Check(start); err == nil {
		t.Error("a server without a certificate says that it is ready")
	}
	r := newReplica(c)
	if after := r.reconcile(t).RequeueAfter; after <= 0 || after > time.Hour {
		t.Errorf("looked at again after %v", after)
	}
	former := r.leaf(t)
	changed := func(what string) {
		t.Helper()
		r.reconcile(t)
		if bytes.Equal(former, r.leaf(t)) {
			t.Errorf("%s: the certificate goes on", what)
		}
		former = r.leaf(t)
		if _, reasons, err := certificate.Parse(read(t, c).Data).Renewed(r.clock.Now(), names); err != nil || reasons != nil {
			t.Errorf("%s: what is kept is to be renewed: %v %v", what, reasons, err)
		}
	}
	if err := c.Delete(t.Context(), read(t, c)); err != nil {
		t.Fatal(err)
	}
	changed("deleted")
	s := read(t, c)
	s.Data = map[string][]byte{"tls.crt": []byte("nonsense"), "theirs": []byte("stays")}
	if err := c.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	changed("nonsense")
	if string(read(t, c).Data["theirs"]) != "stays" {
		t.Error("what is not ours is gone")
	}
	r.clock.SetTime(start.AddDate(2, 0, 0))
	if err := r.served.Check(r.clock.Now()); err == nil {
		t.Error("an expired certificate is ready")
	}
	changed("expired")
}

// One that somebody undoes each time is not written for ever.
func TestUndone(t *testing.T) {
	writes := 0
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			writes++
			o.(*corev1.Secret).Data = nil
			return w.Update(ctx, o, opts...)
		},
	}).WithObjects(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}).Build()
	r := newReplica(c)
	var result reconcile.Result
	for range 100 {
		result = r.reconcile(t)
	}
	if writes > 20 || result.RequeueAfter <= 0 {
		t.Errorf("%d writes, again after %v", writes, result.RequeueAfter)
	}
	r.clock.SetTime(start.Add(10 * time.Minute))
	before := writes
	r.reconcile(t)
	if writes != before+1 {
		t.Error("it is given up for good")
	}
}

// What cert-manager writes is served, and never written.
func TestCertManager(t *testing.T) {
	m, _, err := certificate.Material{}.Renewed(start.AddDate(-2, 0, 0), []string{"another"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := m.Data()
	if err != nil {
		t.Fatal(err)
	}
	delete(data, certificate.KeyAuthorityKey)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Annotations: map[string]string{"cert-manager.io/certificate-name": "webhook"}}, Data: data}
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(s).Build()
	r := newReplica(c)
	r.reconcile(t)
	if got := read(t, c); !bytes.Equal(got.Data["tls.crt"], data["tls.crt"]) {
		t.Error("it was written")
	}
	if served, err := r.served.GetCertificate(nil); err != nil || !bytes.Equal(served.Certificate[0], m.Certificate().Certificate[0]) {
		t.Error("it is not served:", err)
	}
}
