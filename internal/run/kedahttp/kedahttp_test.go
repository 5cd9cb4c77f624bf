package kedahttp_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/kedahttp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// world is a cluster without controllers: what they would write, the test writes.
type world struct {
	*testing.T
	client client.Client
	engine *kedahttp.Engine
	routes bool
	writes int
}

func newWorld(t *testing.T) *world {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"keda.sh/v1alpha1/ScaledObject", "http.keda.sh/v1beta1/InterceptorRoute", "http.keda.sh/v1alpha1/HTTPScaledObject"} {
		part := strings.Split(k, "/")
		gvk := schema.GroupVersionKind{Group: part[0], Version: part[1], Kind: part[2]}
		scheme.AddKnownTypeWithName(gvk, &unstructured.Unstructured{})
		scheme.AddKnownTypeWithName(gvk.GroupVersion().WithKind(part[2]+"List"), &unstructured.UnstructuredList{})
	}
	w := &world{T: t, routes: true}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			w.writes++
			return c.Apply(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			w.writes++
			return c.Delete(ctx, o, opts...)
		},
	}).Build()
	w.engine = kedahttp.New(w.client, w.client, kedahttp.Options{ClusterDomain: "cluster.local", Routes: func(context.Context) (bool, error) { return w.routes, nil }})
	return w
}

func owner() metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "core.openfunction.io/v1beta2", Kind: "Function", Name: "fn", UID: "u1", Controller: new(true), BlockOwnerDeletion: new(true)}
}

func service(revisions ...string) cluster.Service {
	s := cluster.Service{Namespace: "a", Name: "fn", Owner: owner()}
	for _, name := range revisions {
		s.Revisions = append(s.Revisions, cluster.Revision{Name: name, HTTP: true,
			Labels:      map[string]string{v1beta2.LabelFunction: "fn", v1beta2.LabelServing: name, v1beta2.LabelManaged: "true", "mine": "yes"},
			Annotations: map[string]string{},
			Pod:         corev1.PodSpec{Containers: []corev1.Container{{Name: "function", Image: "r.example.com/x:1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}}})
	}
	return s
}

func share(s cluster.Service, shares ...cluster.Share) cluster.Service {
	s.Traffic = shares
	return s
}

func (w *world) apply(s cluster.Service) cluster.Status {
	w.Helper()
	st, err := w.engine.Apply(w.Context(), s)
	if err != nil {
		w.Fatal(err)
	}
	return st
}

func (w *world) object(kind, name string) *unstructured.Unstructured {
	version := map[string]string{"Deployment": "apps/v1", "Service": "v1", "ScaledObject": "keda.sh/v1alpha1", "InterceptorRoute": "http.keda.sh/v1beta1", "HTTPScaledObject": "http.keda.sh/v1alpha1"}[kind]
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(version)
	u.SetKind(kind)
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "a", Name: name}, u); err != nil {
		return nil
	}
	return u
}

func (w *world) must(kind, name string) *unstructured.Unstructured {
	w.Helper()
	u := w.object(kind, name)
	if u == nil {
		w.Fatalf("there is no %s %s", kind, name)
	}
	return u
}

func (w *world) none(kind, name string) {
	w.Helper()
	if w.object(kind, name) != nil {
		w.Errorf("there is a %s %s", kind, name)
	}
}

// set writes a field as another would.
func (w *world) set(kind, name string, value any, field ...string) {
	w.Helper()
	u := w.must(kind, name)
	if err := unstructured.SetNestedField(u.Object, value, field...); err != nil {
		w.Fatal(err)
	}
	write := func() error { return w.client.Update(w.Context(), u) }
	if kind == "Deployment" && field[0] == "status" {
		write = func() error { return w.client.Status().Update(w.Context(), u) }
	}
	if err := write(); err != nil {
		w.Fatal(err)
	}
}

// proven has a copy of the revision ready, and KEDA take it up.
func (w *world) proven(s cluster.Service, revision string) cluster.Status {
	w.Helper()
	w.set("Deployment", revision, int64(1), "status", "readyReplicas")
	w.apply(s)
	kind := "ScaledObject"
	if !w.routes {
		kind = "HTTPScaledObject"
	}
	w.set(kind, revision, []any{map[string]any{"type": "Ready", "status": "True"}}, "status", "conditions")
	return w.apply(s)
}

func (w *world) hosts(revision string) []string {
	w.Helper()
	if !w.routes {
		hosts, _, _ := unstructured.NestedStringSlice(w.must("HTTPScaledObject", revision).Object, "spec", "hosts")
		return hosts
	}
	rules, _, _ := unstructured.NestedSlice(w.must("InterceptorRoute", revision).Object, "spec", "rules")
	hosts, _, _ := unstructured.NestedStringSlice(rules[0].(map[string]any), "hosts")
	return hosts
}

func (w *world) replicas(revision string) any {
	n, _, _ := unstructured.NestedFieldNoCopy(w.must("Deployment", revision).Object, "spec", "replicas")
	return n
}

// TestObjects compares everything that is made of a revision, with the newer and the older kinds of the add-on.
func TestObjects(t *testing.T) {
	for name, routes := range map[string]bool{"interceptorroute": true, "httpscaledobject": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.routes = routes
			s := share(service("fn-00001"), cluster.Share{Revision: "fn-00001", Percent: 100, Tag: "stable"})
			s.Annotations = map[string]string{"autoscaling.keda.sh/paused": "true", "other": "x"}
			r := &s.Revisions[0]
			r.Annotations = map[string]string{"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/max-scale": "7"}
			r.Scale = &v1beta2.ScaleOptions{Keda: &v1beta2.KedaScaleOptions{HTTPScaledObject: &v1beta2.KedaHTTPScaledObject{TargetPendingRequests: new(int32(20)), CooldownPeriod: new(int32(60))}}}
			r.Concurrency, r.StartTimeout = 9, 90*time.Second
			r.Pod.Containers[0].Ports[0].Name = "h2c"
			w.apply(s)
			w.proven(s, "fn-00001")
			var all strings.Builder
			for _, k := range [][2]string{{"Deployment", "fn-00001"}, {"Service", "fn-00001"}, {"InterceptorRoute", "fn-00001"}, {"ScaledObject", "fn-00001"}, {"HTTPScaledObject", "fn-00001"}, {"Service", "fn"}, {"Service", "stable-fn"}} {
				u := w.object(k[0], k[1])
				if u == nil {
					continue
				}
				u.SetResourceVersion("")
				u.SetManagedFields(nil)
				delete(u.Object, "status")
				unstructured.RemoveNestedField(u.Object, "metadata", "annotations", drift.AnnotationHash)
				data, err := yaml.Marshal(u.Object)
				if err != nil {
					t.Fatal(err)
				}
				all.WriteString("---\n" + string(data))
			}
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if all.String() != string(want) {
				t.Errorf("got\n%s\nwant %s, or run the test with -update", all.String(), golden)
			}
		})
	}
}

func TestLifeOfARevision(t *testing.T) {
	w := newWorld(t)
	s := service("fn-00001")
	st := w.apply(s)
	if got := st.Revisions["fn-00001"]; got.Phase != run.Starting || w.replicas("fn-00001") != int64(1) {
		t.Errorf("it begins as %+v, with %v copies", got, w.replicas("fn-00001"))
	}
	w.none("ScaledObject", "fn-00001") // KEDA would take the copy away that is to prove it
	st = w.proven(s, "fn-00001")
	if st.Revisions["fn-00001"].Phase != run.Ready || st.Routed.Status != metav1.ConditionTrue || st.Internal != "http://fn.a.svc.cluster.local:8080/" {
		t.Errorf("proven, it stands so: %+v", st)
	}
	w.set("Deployment", "fn-00001", int64(0), "spec", "replicas") // KEDA brings it to zero
	w.set("Deployment", "fn-00001", int64(0), "status", "readyReplicas")
	before := w.writes
	if st = w.apply(s); st.Revisions["fn-00001"].Phase != run.Ready || w.replicas("fn-00001") != int64(0) || w.writes != before {
		t.Errorf("at zero it stands so: %+v, with %v copies after %d writes", st, w.replicas("fn-00001"), w.writes-before)
	}
	w.set("ScaledObject", "fn-00001", []any{map[string]any{"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed", "message": "no scaler"}}, "status", "conditions")
	if st = w.apply(s); st.Routed.Status != metav1.ConditionFalse || !strings.Contains(st.Routed.Message, "no scaler") {
		t.Errorf("KEDA's complaint is not passed on: %+v", st.Routed)
	}
	w.set("ScaledObject", "fn-00001", []any{map[string]any{"type": "Ready", "status": "Unknown", "reason": "PartialTriggerError", "message": "some triggers"}}, "status", "conditions")
	if st = w.apply(s); st.Routed.Status != metav1.ConditionUnknown || !strings.Contains(st.Routed.Message, "some triggers") {
		t.Errorf("KEDA's doubts are not passed on: %+v", st.Routed)
	}
	if err := w.client.Delete(t.Context(), w.must("ScaledObject", "fn-00001")); err != nil {
		t.Fatal(err)
	}
	w.set("Service", "fn", "elsewhere.example.com", "spec", "externalName")
	w.apply(s)
	w.must("ScaledObject", "fn-00001") // a revision at zero stays proven
	if to, _, _ := unstructured.NestedString(w.must("Service", "fn").Object, "spec", "externalName"); to != "keda-add-ons-http-interceptor-proxy.keda.svc.cluster.local" {
		t.Errorf("the name leads to %s", to)
	}
}

// KEDA refuses a ScaledObject whose autoscaler would have a name that is longer than a label may be.
func TestLongName(t *testing.T) {
	w := newWorld(t)
	for _, function := range []string{"fn", strings.Repeat("a", v1beta2.MaxFunctionName)} {
		name := function + "-00001"
		s := service(name)
		w.apply(s)
		w.proven(s, name)
		autoscaler, _, _ := unstructured.NestedString(w.must("ScaledObject", name).Object, "spec", "advanced", "horizontalPodAutoscalerConfig", "name")
		if autoscaler == "" {
			autoscaler = "keda-hpa-" + name
		}
		if len(autoscaler) > 63 {
			t.Errorf("the autoscaler of %s is to be called %s", name, autoscaler)
		}
	}
}

func TestANewRevisionTakesOver(t *testing.T) {
	for _, routes := range []bool{true, false} {
		w := newWorld(t)
		w.routes = routes
		scaler := map[bool]string{true: "ScaledObject", false: "HTTPScaledObject"}[routes]
		old := cluster.Share{Revision: "fn-00001", Percent: 100}
		w.apply(share(service("fn-00001"), old))
		w.proven(share(service("fn-00001"), old), "fn-00001")
		both := service("fn-00001", "fn-00002")
		w.apply(share(both, old))
		if !slices.Contains(w.hosts("fn-00001"), "fn.a") || w.replicas("fn-00002") != int64(1) {
			t.Error("the new revision is not started beside the old one")
		}
		w.proven(share(both, old), "fn-00002")
		taken := share(both, cluster.Share{Revision: "fn-00002", Percent: 100})
		w.apply(taken)
		if slices.Contains(w.hosts("fn-00001"), "fn.a") || !slices.Contains(w.hosts("fn-00002"), "fn.a") {
			t.Errorf("the old one has the hosts %v, the new one %v", w.hosts("fn-00001"), w.hosts("fn-00002"))
		}
		w.must(scaler, "fn-00001") // what is under way there ends
		w.set("Deployment", "fn-00001", int64(0), "spec", "replicas")
		w.apply(taken)
		w.apply(taken)
		w.none(scaler, "fn-00001")
		if st := w.apply(taken); st.Revisions["fn-00001"].Phase != run.Ready || w.replicas("fn-00001") != int64(0) {
			t.Errorf("the old one is kept as %+v", st.Revisions["fn-00001"])
		}
		w.apply(share(both, old)) // a rollback
		w.must(scaler, "fn-00001")
		if !slices.Contains(w.hosts("fn-00001"), "fn.a") {
			t.Error("rolled back, the old one does not have the hosts")
		}
		pinned := share(service("fn-00001", "fn-00002", "fn-00003"), old)
		pinned.Pinned = true
		w.apply(pinned)
		w.set("Deployment", "fn-00003", int64(1), "status", "readyReplicas")
		if st := w.apply(pinned); st.Revisions["fn-00003"].Phase != run.Ready || w.replicas("fn-00003") != int64(0) {
			t.Errorf("proven, but without requests by the user's will, the newest stands so: %+v", st.Revisions["fn-00003"])
		}
		if w.apply(share(service("fn-00002"), cluster.Share{Revision: "fn-00002", Percent: 100})); w.object("Deployment", "fn-00001") != nil {
			t.Error("a revision that is no longer kept is still there")
		}
	}
}

func TestShares(t *testing.T) {
	w := newWorld(t)
	s := share(service("fn-00001", "fn-00002"), cluster.Share{Revision: "fn-00001", Percent: 30}, cluster.Share{Revision: "fn-00002", Percent: 70, Tag: "next"})
	w.apply(s)
	w.proven(s, "fn-00001")
	st := w.proven(s, "fn-00002")
	if st.Routed.Status != metav1.ConditionUnknown || st.Routed.Reason != "DividedByGatewayOnly" || !strings.Contains(st.Routed.Message, "fn-00002") {
		t.Errorf("it does not say what it cannot do: %+v", st.Routed)
	}
	want := []cluster.Backend{
		{Namespace: "keda", Name: "keda-add-ons-http-interceptor-proxy", Port: 8080, Weight: 30, Host: "fn-00001.a.svc.cluster.local"},
		{Namespace: "keda", Name: "keda-add-ons-http-interceptor-proxy", Port: 8080, Weight: 70, Host: "fn-00002.a.svc.cluster.local"}}
	got, _ := json.Marshal(st.Backends)
	if expected, _ := json.Marshal(want); string(got) != string(expected) {
		t.Errorf("backends are %s", got)
	}
	for _, b := range st.Backends {
		if !slices.Contains(w.hosts(strings.TrimSuffix(b.Host, ".a.svc.cluster.local")), b.Host) {
			t.Errorf("no route of the interceptor has the host %s", b.Host)
		}
	}
	if st.TagURLs["next"] != "http://next-fn.a.svc.cluster.local:8080/" || !slices.Contains(w.hosts("fn-00002"), "next-fn.a") {
		t.Errorf("the tag leads to %v", st.TagURLs)
	}
	w.apply(share(service("fn-00001", "fn-00002"), cluster.Share{Revision: "fn-00002", Percent: 100}))
	w.none("Service", "next-fn")
}

func TestTarget(t *testing.T) {
	options := func(target int32) *v1beta2.ScaleOptions {
		return &v1beta2.ScaleOptions{Keda: &v1beta2.KedaScaleOptions{HTTPScaledObject: &v1beta2.KedaHTTPScaledObject{TargetPendingRequests: &target}}}
	}
	w := newWorld(t)
	for name, test := range map[string]struct {
		revision cluster.Revision
		want     string
	}{
		"nothing said":     {cluster.Revision{}, `{"concurrency":{"targetValue":100}}`},
		"OpenFunction's":   {cluster.Revision{Scale: options(7), Annotations: map[string]string{"autoscaling.knative.dev/target": "5"}}, `{"concurrency":{"targetValue":7}}`},
		"Knative's":        {cluster.Revision{Annotations: map[string]string{"autoscaling.knative.dev/target": "5.5"}}, `{"concurrency":{"targetValue":5}}`},
		"a limit is less":  {cluster.Revision{Scale: options(7), Concurrency: 2}, `{"concurrency":{"targetValue":2}}`},
		"a limit is more":  {cluster.Revision{Scale: options(7), Concurrency: 20}, `{"concurrency":{"targetValue":7}}`},
		"never nothing":    {cluster.Revision{Scale: options(0)}, `{"concurrency":{"targetValue":1}}`},
		"rate":             {cluster.Revision{Annotations: map[string]string{"autoscaling.knative.dev/metric": "rps", "autoscaling.knative.dev/target": "50"}}, `{"requestRate":{"targetValue":50}}`},
		"rate, not a word": {cluster.Revision{Annotations: map[string]string{"autoscaling.knative.dev/metric": "rps", "autoscaling.knative.dev/target": "many"}}, `{"requestRate":{"targetValue":200}}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := service("fn-00001")
			s.Revisions[0].Scale, s.Revisions[0].Concurrency, s.Revisions[0].Annotations = test.revision.Scale, test.revision.Concurrency, test.revision.Annotations
			w.apply(s)
			metric, _, _ := unstructured.NestedMap(w.must("InterceptorRoute", "fn-00001").Object, "spec", "scalingMetric")
			if got, _ := json.Marshal(metric); string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
