package place_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/function/place"
	"github.com/openfunction/ofn/internal/control/function/serve"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/dapr"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recorder is an engine of functions that requests call.
type recorder struct{ last cluster.Service }

func (r *recorder) Apply(_ context.Context, s cluster.Service) (cluster.Status, error) {
	r.last = s
	return cluster.Status{Routed: cluster.Condition{Status: metav1.ConditionTrue}}, nil
}
func (*recorder) Remove(context.Context, string, string, metav1.OwnerReference) error { return nil }

// world is a cluster without controllers, and the phases that place functions on it.
type world struct {
	*testing.T
	client client.WithWatch
	serve  *serve.Phase
	place  *place.Phase
	fn     *v1beta2.Function
	http   *recorder
}

func newWorld(t *testing.T, has []engines.Engine, objects ...client.Object) *world {
	scheme := controltest.Scheme(t)
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ScaledObject", "ScaledJob"} {
		scheme.AddKnownTypeWithName(kedav1.GroupVersion.WithKind(kind), &unstructured.Unstructured{})
		scheme.AddKnownTypeWithName(kedav1.GroupVersion.WithKind(kind+"List"), &unstructured.UnstructuredList{})
	}
	for _, e := range has {
		for _, k := range e.Kinds {
			d := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: k.Plural + "." + k.Group}}
			d.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{Name: k.Version, Served: true}}
			d.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: "True"}}
			objects = append(objects, d)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1beta2.Function{}, &v1beta2.Serving{}).Build()
	keda := func(ctx context.Context) (bool, error) { return engines.Check(ctx, c, engines.KEDA()) == nil, nil }
	http := &recorder{}
	ways := []place.Way{
		{Name: v1beta2.EngineKnative, Engine: http, Ref: v1beta2.RefKnativeService, Needs: []engines.Engine{engines.Knative()}, Components: true},
		{Name: place.WayDapr, Engine: dapr.New(c, c, keda), Ref: v1beta2.RefAsyncWorkload, Components: true, Sometimes: []place.Need{{Engine: engines.KEDA(),
			For: func(s *v1beta2.Serving) bool {
				return s.Spec.ScaleOptions != nil && s.Spec.ScaleOptions.Keda != nil && len(s.Spec.ScaleOptions.Keda.Triggers) > 0
			}}}},
	}
	log := slog.New(slog.DiscardHandler)
	return &world{T: t, client: c, http: http, serve: serve.New(c), place: place.New(c, place.Options{Ways: ways, Engines: engines.NewController(c, nil, log), Live: c, ClusterDomain: "cluster.local", Log: log})}
}

// function reads a Function of either version as admission would store it.
func (w *world) function(file string) {
	w.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		w.Fatal(err)
	}
	w.fn = &v1beta2.Function{}
	if was := (&v1beta1.Function{}); bytes.Contains(data, []byte("/v1beta1\n")) {
		if err := errors.Join(yaml.UnmarshalStrict(data, was), was.ConvertTo(w.fn)); err != nil {
			w.Fatal(err)
		}
	} else if err := yaml.UnmarshalStrict(data, w.fn); err != nil {
		w.Fatal(err)
	}
	w.fn.Default()
}

// reconcile serves and places the function until it is at rest.
func (w *world) reconcile() {
	w.Helper()
	w.fn.Status.Build = &v1beta2.StageStatus{State: v1beta2.StateSkipped}
	for range 3 {
		for _, phase := range []interface {
			Reconcile(context.Context, *v1beta2.Function) (ctrl.Result, error)
		}{w.serve, w.place} {
			if _, err := phase.Reconcile(w.Context(), w.fn); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// comeUp does what Kubernetes does for workloads.
func (w *world) comeUp() {
	w.Helper()
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind + "List"})
		if err := w.client.List(w.Context(), list); err != nil {
			w.Fatal(err)
		}
		for _, o := range list.Items {
			o.Object["status"] = map[string]any{"replicas": int64(1), "readyReplicas": int64(1), "availableReplicas": int64(1)}
			if err := w.client.Status().Update(w.Context(), &o); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// objects is everything that was made, as YAML.
func (w *world) objects() string {
	w.Helper()
	var out bytes.Buffer
	for _, kind := range []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "StatefulSet"}, {Group: "batch", Version: "v1", Kind: "Job"},
		daprv1.GroupVersion.WithKind("Component"), kedav1.GroupVersion.WithKind("ScaledJob"), kedav1.GroupVersion.WithKind("ScaledObject"),
		kedav1.GroupVersion.WithKind("TriggerAuthentication"), {Version: "v1", Kind: "Service"},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind + "List"})
		if err := w.client.List(w.Context(), list); err != nil {
			w.Fatal(err)
		}
		for _, o := range list.Items {
			if o.GetLabels()[v1beta2.LabelFunction] == "" {
				continue // the test's own
			}
			o.SetGroupVersionKind(kind)
			for _, field := range []string{"resourceVersion", "managedFields", "ownerReferences", "namespace", "creationTimestamp"} {
				unstructured.RemoveNestedField(o.Object, "metadata", field)
			}
			unstructured.RemoveNestedField(o.Object, "metadata", "annotations", "openfunction.io/applied-hash")
			delete(o.Object, "status")
			forget(o.Object)
			data, err := yaml.Marshal(o.Object)
			if err != nil {
				w.Fatal(err)
			}
			out.WriteString("---\n")
			out.Write(data)
		}
	}
	return out.String()
}

// forget leaves out of templates what a pod may do, which is another test's.
func forget(in any) {
	switch x := in.(type) {
	case map[string]any:
		delete(x, "securityContext")
		delete(x, "automountServiceAccountToken")
		for _, v := range x {
			forget(v)
		}
	case []any:
		for _, v := range x {
			forget(v)
		}
	}
}

func TestGoldenObjects(t *testing.T) {
	for _, name := range []string{"cron", "kafka", "statefulset", "scaledjob", "triggered"} {
		t.Run(name, func(t *testing.T) {
			login := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "login"}, Data: map[string][]byte{"username": nil, "password": nil}}
			there := &daprv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "there-already"}, Spec: daprv1.ComponentSpec{Type: "pubsub.redis", Version: "v1"}}
			w := newWorld(t, []engines.Engine{engines.Dapr(), engines.KEDA()}, login, there)
			w.function(name + ".yaml")
			w.reconcile()
			w.comeUp()
			w.reconcile()
			got := w.objects()
			file := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("made are\n%s\nwant %s (run with -update, and look at what changed)", got, file)
			}
		})
	}
}

func (w *world) components() map[string]string {
	w.Helper()
	var list daprv1.ComponentList
	if err := w.client.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range list.Items {
		out[c.Name] = c.Spec.Type + " " + strings.Join(c.Scopes, ",")
	}
	return out
}

func (w *world) reason(kind string) string {
	if c := condition.Get(w.fn.Status.Conditions, kind); c != nil {
		return c.Reason
	}
	return ""
}

func TestMissingEngines(t *testing.T) {
	for _, test := range []struct {
		file string
		has  []engines.Engine
		says string // empty when it runs
	}{
		{"cron.yaml", nil, "Dapr"},
		{"cron.yaml", []engines.Engine{engines.Dapr()}, ""},
		{"kafka.yaml", []engines.Engine{engines.Dapr()}, "KEDA"},
		{"kafka.yaml", []engines.Engine{engines.KEDA()}, "Dapr"},
		{"scaledjob.yaml", []engines.Engine{engines.KEDA()}, ""},
		{"triggered.yaml", nil, "KEDA"},
		{"triggered.yaml", []engines.Engine{engines.KEDA()}, ""},
	} {
		w := newWorld(t, test.has)
		w.function(test.file)
		w.reconcile()
		s := controltest.Read(t, w.client, "ns", w.fn.Name+"-00001", &v1beta2.Serving{})
		if missing := s.Status.Reason == "EngineMissing"; missing != (test.says != "") || !strings.Contains(s.Status.Message, test.says) {
			t.Errorf("%s: the serving says %s: %s", test.file, s.Status.Reason, s.Status.Message)
		}
		if test.file == "kafka.yaml" || test.file == "triggered.yaml" {
			continue
		}
		if len(w.fn.Status.Addresses) > 0 || test.says == "" && w.reason(v1beta2.ConditionRouted) != "" {
			t.Errorf("%s: a function without requests has addresses %v and is routed: %s", test.file, w.fn.Status.Addresses, w.reason(v1beta2.ConditionRouted))
		}
	}
}

// What a former revision said of components does not keep the next from starting, and goes with the function's serving.
func TestComponentsAreThoseOfTheNewestRevision(t *testing.T) {
	w := newWorld(t, []engines.Engine{engines.Dapr()})
	w.function("cron.yaml")
	w.reconcile()
	want := func(want map[string]string) {
		t.Helper()
		if got := w.components(); !maps.Equal(got, want) {
			t.Fatalf("components are %v, want %v", got, want)
		}
	}
	const scope = "cron-input-kafka-output-ns"
	want(map[string]string{"cron-input-kafka-output.cron": "bindings.cron " + scope, "cron-input-kafka-output.kafka-server": "bindings.kafka " + scope,
		"cron-input-kafka-output.store-1-1kjh7qu": "state.redis " + scope})
	delete(w.fn.Spec.Serving.Bindings, "kafka-server")
	w.fn.Spec.Serving.Outputs, w.fn.Spec.Serving.States = nil, nil
	w.fn.Spec.Serving.Bindings["cron"].Type = "bindings.other"
	w.reconcile()
	want(map[string]string{"cron-input-kafka-output.cron": "bindings.other " + scope})
	w.fn.Spec.Serving.Traffic = []v1beta2.TrafficTarget{{RevisionName: w.fn.Name + "-00001", Percent: new(int64(100))}}
	w.reconcile()
	if got := slices.Sorted(maps.Keys(w.components())); len(got) != 3 || w.components()["cron-input-kafka-output.cron"] != "bindings.cron "+scope {
		t.Errorf("after going back the components are %v", w.components())
	}
	w.fn.Spec.Serving = nil
	w.reconcile()
	want(map[string]string{})
	if left := w.objects(); left != "" {
		t.Error("what is not served has left:", left)
	}
}

func TestNameOfAComponentThatIsTaken(t *testing.T) {
	w := newWorld(t, []engines.Engine{engines.Dapr()}, &daprv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "cron-input-kafka-output.cron"}})
	w.function("cron.yaml")
	w.reconcile()
	if w.reason(v1beta2.ConditionRouted) != "NameTaken" || w.components()["cron-input-kafka-output.cron"] != " " {
		t.Errorf("conditions %+v, components %v", w.fn.Status.Conditions, w.components())
	}
	if r, err := w.place.Reconcile(t.Context(), w.fn); err != nil || r.RequeueAfter == 0 { // nothing tells when the name is free
		t.Errorf("it is tried again after %v (%v)", r.RequeueAfter, err)
	}
}

func TestWhatDaprDoesNotDo(t *testing.T) {
	for name, change := range map[string]func(*v1beta2.DaprTrigger){
		"a framework that knows no dead letters": func(d *v1beta2.DaprTrigger) { d.DeadLetterTopic = "dead" },
		"a sink":                                 func(d *v1beta2.DaprTrigger) { d.DeadLetterSink = &events.SinkSpec{} },
		"an age":                                 func(d *v1beta2.DaprTrigger) { d.Retry = &events.RetryPolicy{MaxAge: &metav1.Duration{Duration: 1}} },
	} {
		w := newWorld(t, []engines.Engine{engines.Dapr()})
		w.function("cron.yaml")
		change(w.fn.Spec.Serving.Triggers.Dapr[0])
		w.reconcile()
		if w.reason(v1beta2.ConditionRouted) != "Unsupported" {
			t.Errorf("%s: conditions %+v", name, w.fn.Status.Conditions)
		}
	}
}

func TestRetryIsAResiliency(t *testing.T) {
	w := newWorld(t, []engines.Engine{engines.Dapr()})
	w.function("cron.yaml")
	attempts := int32(4)
	w.fn.Spec.Serving.Annotations[daprapp.AnnotationAppProtocol] = "http"
	w.fn.Spec.Serving.Triggers.Dapr[0].Retry, w.fn.Spec.Serving.Triggers.Dapr[0].DeadLetterTopic = &events.RetryPolicy{Attempts: &attempts}, "dead"
	w.reconcile()
	got := w.resiliencies()
	if len(got) != 1 || got[0].GetName() != w.fn.Name {
		t.Fatalf("resiliencies %v, conditions %+v", got, w.fn.Status.Conditions)
	}
	n, _, err := unstructured.NestedInt64(got[0].Object, "spec", "policies", "retries", "retry-1", "maxRetries")
	if scopes, _, _ := unstructured.NestedStringSlice(got[0].Object, "scopes"); err != nil || n != 3 || len(scopes) != 1 || scopes[0] != w.fn.Name+"-ns" {
		t.Errorf("it is %v (%v)", got[0].Object, err)
	}
	w.fn.Spec.Serving.Triggers.Dapr[0].Retry = nil
	w.reconcile()
	if got := w.resiliencies(); len(got) != 0 {
		t.Errorf("a new revision without a retry has left %v", got)
	}
}

func (w *world) resiliencies() []unstructured.Unstructured {
	w.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(daprv1.GroupVersion.WithKind("ResiliencyList"))
	if err := w.client.List(w.Context(), list); err != nil {
		w.Fatal(err)
	}
	return list.Items
}

// A function that requests call has the sidecar and its components with every engine.
func TestComponentsOfHTTPFunctions(t *testing.T) {
	w := newWorld(t, []engines.Engine{engines.Dapr(), engines.Knative()})
	w.function("cron.yaml")
	w.fn.Spec.Serving.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{Port: new(int32(9000))}}
	w.fn.Spec.Serving.Annotations = map[string]string{"dapr.io/app-id": "mine"}
	w.reconcile()
	if got := w.components(); len(got) != 3 || got["cron-input-kafka-output.kafka-server"] != "bindings.kafka mine" {
		t.Errorf("components are %v", got)
	}
	if len(w.http.last.Revisions) != 1 {
		t.Fatalf("the engine got %+v", w.http.last)
	}
	got := w.http.last.Revisions[0].Annotations
	for k, v := range map[string]string{"dapr.io/enabled": "true", "dapr.io/app-id": "mine", "dapr.io/app-port": "9000", "dapr.io/app-protocol": "http"} {
		if got[k] != v {
			t.Errorf("annotation %s is %q, want %q", k, got[k], v)
		}
	}
}
