package place_test

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/function/place"
	"github.com/openfunction/ofn/internal/control/function/serve"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/kedahttp"
)

// unexposed is a cluster without the Gateway API.
type unexposed struct{}

func (unexposed) Expose(_ context.Context, _ *v1beta2.Function, has cluster.Status) (cluster.Condition, error) {
	return has.Routed, nil
}
func (unexposed) Hide(context.Context, *v1beta2.Function) error  { return nil }
func (unexposed) Gone(context.Context, string, string) error     { return nil }
func (unexposed) Watch(_ ctrl.Manager, _ *builder.Builder) error { return nil }

// kedaWorld is a cluster on which functions that ask for the engine keda are run by it.
func kedaWorld(t *testing.T, exposer place.Exposer) *world {
	scheme := controltest.Scheme(t)
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, e := range []engines.Engine{engines.KEDA(), engines.KEDAHTTP(), engines.InterceptorRoutes()} {
		for _, k := range e.Kinds {
			if !scheme.Recognizes(k.GroupVersionKind) {
				scheme.AddKnownTypeWithName(k.GroupVersionKind, &unstructured.Unstructured{})
				scheme.AddKnownTypeWithName(k.GroupVersion().WithKind(k.Kind+"List"), &unstructured.UnstructuredList{})
			}
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1beta2.Function{}, &v1beta2.Serving{}).Build()
	routes := func(ctx context.Context) (bool, error) {
		return engines.Check(ctx, c, engines.InterceptorRoutes()) == nil, nil
	}
	ways := []place.Way{
		{Name: v1beta2.EngineKeda, Engine: kedahttp.New(c, c, kedahttp.Options{ClusterDomain: "cluster.local", Routes: routes}), Ref: v1beta2.RefKedaHTTPDeployment,
			Needs: []engines.Engine{engines.KEDA(), engines.KEDAHTTP()}},
	}
	log := slog.New(slog.DiscardHandler)
	return &world{T: t, client: c, serve: serve.New(c), place: place.New(c, place.Options{Ways: ways, Engines: engines.NewController(c, nil, log), Live: c,
		Exposer: exposer, PodSecurity: v1beta2.PodSecurityAuto, ClusterDomain: "cluster.local", Log: log})}
}

func (w *world) install(all ...engines.Engine) {
	w.Helper()
	for _, e := range all {
		for _, k := range e.Kinds {
			d := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: k.Plural + "." + k.Group}}
			d.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{Name: k.Version, Served: true}}
			d.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: "True"}}
			if err := w.client.Create(w.Context(), d); err != nil {
				w.Fatal(err)
			}
		}
	}
}

func (w *world) served() *metav1.Condition {
	w.Helper()
	c := condition.Get(w.fn.Status.Conditions, v1beta2.ConditionServed)
	if c == nil {
		w.Fatalf("there is no condition Served among %+v", w.fn.Status.Conditions)
	}
	return c
}

func TestFunctionOnKEDAHTTP(t *testing.T) {
	w := kedaWorld(t, unexposed{})
	w.fn = &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "fn", UID: "u"}}
	w.fn.Spec.Image = "r.example.com/x:1"
	w.fn.Spec.Serving = &v1beta2.FunctionServing{}
	w.fn.Spec.Serving.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{Engine: new(v1beta2.EngineKeda)}}
	w.fn.Default()
	w.install(engines.KEDA())
	w.reconcile()
	if c := w.served(); c.Reason != "EngineMissing" || !strings.Contains(c.Message, "HTTP add-on") {
		t.Errorf("without the add-on it says %+v", c)
	}
	w.install(engines.KEDAHTTP(), engines.InterceptorRoutes())
	w.reconcile()
	d := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: "a", Name: "fn-00001"}
	if err := w.client.Get(t.Context(), key, d); err != nil {
		t.Fatal(err)
	}
	if p := d.Spec.Template.Spec; p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken || p.Containers[0].SecurityContext.SeccompProfile == nil {
		t.Errorf("the pod is not given less rights: %+v", p)
	}
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: "True", Message: `pods "x" is forbidden: exceeded quota: small`}}
	if err := w.client.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	if c := w.served(); c.Reason != "QuotaExceeded" || !strings.Contains(c.Message, "exceeded quota: small") {
		t.Errorf("over its quota it says %+v", c)
	}
	d.Status = appsv1.DeploymentStatus{ReadyReplicas: 1}
	if err := w.client.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	if c := w.served(); c.Status != metav1.ConditionTrue || w.fn.Status.Addresses[0].Value != "http://fn.a.svc.cluster.local:8080/" {
		t.Errorf("ready, it says %+v and has the addresses %+v", c, w.fn.Status.Addresses)
	}
	serving := &v1beta2.Serving{}
	if err := w.client.Get(t.Context(), key, serving); err != nil || serving.Status.ResourceRef[v1beta2.RefKedaHTTPDeployment] != "fn-00001" {
		t.Errorf("the Serving has %+v (%v)", serving.Status, err)
	}
}

// hiding counts how often a route was taken away.
type hiding struct {
	unexposed
	hidden *int
}

func (h hiding) Hide(context.Context, *v1beta2.Function) error { *h.hidden++; return nil }

// A function whose http trigger is taken away has no route any more, even if nothing can run what it is now.
func TestRouteGoesWithItsTrigger(t *testing.T) {
	hidden := 0
	w := kedaWorld(t, hiding{hidden: &hidden})
	w.fn = &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "fn", UID: "u", Generation: 1}}
	w.fn.Spec.Image = "r.example.com/x:1"
	w.fn.Spec.Serving = &v1beta2.FunctionServing{}
	w.fn.Spec.Serving.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{Engine: new(v1beta2.EngineKeda)}}
	w.fn.Default()
	w.reconcile()
	if c := w.served(); c.Reason != "EngineMissing" || hidden > 0 {
		t.Fatalf("while its engine is missing its route was hidden %d times: %+v", hidden, c)
	}
	w.install(engines.KEDA(), engines.KEDAHTTP(), engines.InterceptorRoutes())
	w.reconcile()
	if len(w.fn.Status.Addresses) == 0 || hidden > 0 {
		t.Fatalf("its route was hidden %d times, its addresses are %+v", hidden, w.fn.Status.Addresses)
	}
	w.fn.Generation = 2
	w.fn.Spec.Serving.Triggers = &v1beta2.Triggers{Dapr: []*v1beta2.DaprTrigger{{DaprComponentRef: v1beta2.DaprComponentRef{Name: "ticks", Type: "bindings.cron"}}}}
	w.reconcile()
	if c := w.served(); c.Status != metav1.ConditionFalse || hidden == 0 || len(w.fn.Status.Addresses) > 0 {
		t.Errorf("without its trigger its route was hidden %d times, its addresses are %+v; it says %+v", hidden, w.fn.Status.Addresses, c)
	}
	before := w.fn.Status.DeepCopy()
	if w.reconcile(); !reflect.DeepEqual(before, &w.fn.Status) {
		t.Errorf("the status does not come to rest: %+v, then %+v", before, w.fn.Status)
	}
}
