package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/config/crd"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/kubeapi"
)

// operatorPatience bounds every wait of these tests: only a failure takes that long.
const operatorPatience = 3 * time.Minute

// operated is a cluster (the project's own API server, without pods), scripted engines, and operators on it.
type operated struct {
	*testing.T
	client client.Client
	config *rest.Config
	writes atomic.Int64 // of all operators, leases apart

	operators int // that have been started
}

func TestOperator(t *testing.T) {
	o := newOperated(t)
	o.leftovers()
	first := o.operator()
	o.Run("webhooks", o.webhooks)
	o.Run("missing engine", o.missing)
	o.Run("taken over from OpenFunction", o.adopted)
	o.Run("revisions and traffic", o.revisions)
	o.Run("repaired by hand", o.repaired)
	o.Run("refused", o.refused)
	o.Run("routes", o.routes)
	o.Run("routes repaired and refused", o.routesRepaired)
	o.Run("build", o.build)
	o.Run("build cancelled", o.cancelled)
	o.Run("source followed", o.followed)
	o.Run("defaults of the platform", o.defaults)
	o.Run("quiet", o.quiet)
	o.Run("gateway removed", o.routesEnd)
	second := o.operator()
	first()
	o.Run("the other operator takes over", o.takeover)
	o.Run("engine removed and installed again", o.removed)
	second()
}

func newOperated(t *testing.T) *operated {
	crds, err := crd.Objects()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), operatorPatience)
	defer cancel()
	kubeapi.RouteKlog(slog.New(slog.DiscardHandler))
	ctrl.SetLogger(klog.Background())
	server, err := kubeapi.Start(ctx, kubeapi.Options{DataDir: t.TempDir(), Port: kubeapi.AnyPort, CRDs: crds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Close(end); err != nil {
			t.Error(err)
		}
	})
	options, err := operatorOptions(&operatorSettings{})
	if err != nil {
		t.Fatal(err)
	}
	o := &operated{T: t, config: rest.CopyConfig(server.Config())}
	o.config.QPS = -1
	o.config.ContentType, o.config.AcceptContentTypes = "application/json", ""
	if o.client, err = client.New(o.config, client.Options{Scheme: options.Scheme}); err != nil {
		t.Fatal(err)
	}
	o.permit()
	return o
}

// permit gives the operators the rights that they are installed with.
func (o *operated) permit() {
	o.Helper()
	data, err := os.ReadFile(filepath.FromSlash("../../config/rbac/operator.yaml"))
	if err != nil {
		o.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			o.Fatal(err)
		}
		o.create(u)
	}
}

// operator starts one more operator and returns what ends it and waits.
func (o *operated) operator() (stop func()) {
	config := rest.CopyConfig(o.config)
	config.Impersonate.UserName = "system:serviceaccount:openfunction:ofn-operator"
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return counted(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/leases") {
				o.writes.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := &operatorSettings{ownNamespace: "openfunction", metricsAddress: "0", healthAddress: "0", clusterDomain: "cluster.local", elect: true, several: true, webhooks: o.webhookAddress(),
		follow: followSettings{shortest: time.Second, local: true}}
	go func() { done <- operate(ctx, config, s, slog.New(slog.DiscardHandler)) }()
	ended := false
	stop = func() {
		cancel()
		if ended {
			return
		}
		ended = true
		if err := <-done; err != nil {
			o.Error("the operator ended:", err)
		}
	}
	o.Cleanup(stop)
	return stop
}

type counted func(*http.Request) (*http.Response, error)

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) { return c(r) }

func (o *operated) create(objects ...client.Object) {
	o.Helper()
	for _, x := range objects {
		if err := o.client.Create(context.Background(), x); err != nil {
			o.Fatalf("creating %T %s: %v", x, x.GetName(), err)
		}
	}
}

// eventually waits until what is wrong is nothing.
func (o *operated) eventually(wrong func(context.Context) string) {
	o.Helper()
	ctx, cancel := context.WithTimeout(o.Context(), operatorPatience)
	defer cancel()
	for tick := time.NewTicker(30 * time.Millisecond); ; {
		said := wrong(ctx)
		if said == "" {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			o.Fatalf("after %s: %s", operatorPatience, said)
		}
	}
}

func (o *operated) get(x client.Object, name string) error {
	return o.client.Get(context.Background(), client.ObjectKey{Namespace: "default", Name: name}, x)
}

// change changes an object, again when somebody else does so at the same time.
func (o *operated) change(x client.Object, name string, how func()) {
	o.Helper()
	o.eventually(func(ctx context.Context) string {
		if err := o.get(x, name); err != nil {
			return err.Error()
		}
		how()
		if err := o.client.Update(ctx, x); err != nil {
			return err.Error()
		}
		return ""
	})
}

// ready waits until the Function serves a revision.
func (o *operated) ready(name, revision string) *v1beta2.Function {
	o.Helper()
	fn := &v1beta2.Function{}
	o.eventually(func(context.Context) string {
		if err := o.get(fn, name); err != nil {
			return err.Error()
		}
		c := condition.Get(fn.Status.Conditions, v1beta2.ConditionReady)
		if c == nil || c.Status != "True" || fn.Status.LatestReadyRevision != revision || fn.Status.ObservedGeneration != fn.Generation {
			return fmt.Sprintf("%s: latest ready is %q, conditions %+v", name, fn.Status.LatestReadyRevision, fn.Status.Conditions)
		}
		return ""
	})
	return fn
}

// unready waits until the Function is not ready for a reason.
func (o *operated) unready(name, reason string) *metav1.Condition {
	o.Helper()
	var c *metav1.Condition
	o.eventually(func(context.Context) string {
		fn := &v1beta2.Function{}
		if err := o.get(fn, name); err != nil {
			return err.Error()
		}
		c = condition.Get(fn.Status.Conditions, v1beta2.ConditionReady)
		if c == nil || c.Status != "False" || c.Reason != reason {
			return fmt.Sprintf("%s: conditions %+v", name, fn.Status.Conditions)
		}
		return ""
	})
	return c
}

func httpFunction(name, image string) *v1beta2.Function {
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	fn.Spec.Image = image
	fn.Spec.Serving = &v1beta2.FunctionServing{}
	fn.Spec.Serving.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{}}
	return fn
}

// knativeService reads the Service of a function.
func (o *operated) knativeService(name string) (*unstructured.Unstructured, error) {
	u := engineObject("serving.knative.dev/v1", "Service", name)
	return u, o.get(u, name)
}

func engineObject(version, kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(version)
	u.SetKind(kind)
	u.SetNamespace("default")
	u.SetName(name)
	return u
}

// definition is one of an engine: its true group, version, scope and subresource, and whatever content.
func definition(group, version, kind, plural string, scope apiextensionsv1.ResourceScope) *apiextensionsv1.CustomResourceDefinition {
	anything := apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
	d := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group}}
	d.Spec = apiextensionsv1.CustomResourceDefinitionSpec{Group: group, Scope: scope,
		Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(kind), Kind: kind, ListKind: kind + "List"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: version, Served: true, Storage: true,
			Schema:       &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &anything},
			Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}}}}}
	return d
}
