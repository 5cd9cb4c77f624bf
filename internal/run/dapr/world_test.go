package dapr_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/dapr"
)

// world is a cluster without controllers, and the engine on it.
type world struct {
	*testing.T
	raw    client.WithWatch
	engine *dapr.Engine
	keda   bool
	writes int
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ScaledObject", "ScaledJob", "TriggerAuthentication"} {
		gv := schema.GroupVersion{Group: "keda.sh", Version: "v1alpha1"}
		scheme.AddKnownTypeWithName(gv.WithKind(kind), &unstructured.Unstructured{})
		scheme.AddKnownTypeWithName(gv.WithKind(kind+"List"), &unstructured.UnstructuredList{})
	}
	w := &world{T: t, keda: true, raw: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}
	counted := interceptor.NewClient(w.raw, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			w.writes++
			return c.Apply(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			w.writes++
			return c.Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			w.writes++
			return c.Delete(ctx, o) // the fake one knows no preconditions of one that it has just changed
		},
	})
	w.engine = dapr.New(counted, w.raw, func(context.Context) (bool, error) { return w.keda, nil })
	return w
}

func revision(name string, change ...func(*cluster.Revision)) cluster.Revision {
	r := cluster.Revision{Name: name, Labels: map[string]string{v1beta2.LabelFunction: "fn", v1beta2.LabelServing: name, "team": "a"},
		Annotations: map[string]string{"dapr.io/enabled": "true", "dapr.io/app-id": "fn-ns", "autoscaling.knative.dev/min-scale": "2"}}
	r.Pod.Containers = []corev1.Container{{Name: v1beta2.FunctionContainer, Image: "r.example.com/" + name, Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}
	for _, c := range change {
		c(&r)
	}
	return r
}

func proven(r *cluster.Revision) { r.Proven = true }

func service(traffic string, revisions ...cluster.Revision) cluster.Service {
	s := cluster.Service{Namespace: "ns", Name: "fn", Revisions: revisions, Annotations: map[string]string{"autoscaling.keda.sh/paused-replicas": "3", "other": "x"},
		Owner: metav1.OwnerReference{APIVersion: v1beta2.GroupVersion.String(), Kind: "Function", Name: "fn", UID: types.UID("u"), Controller: new(true), BlockOwnerDeletion: new(true)}}
	if traffic != "" {
		s.Traffic = []cluster.Share{{Revision: traffic, Percent: 100}}
	}
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

var kinds = map[string]string{"Deployment": "apps/v1", "StatefulSet": "apps/v1", "Job": "batch/v1", "Service": "v1",
	"ScaledObject": "keda.sh/v1alpha1", "ScaledJob": "keda.sh/v1alpha1", "TriggerAuthentication": "keda.sh/v1alpha1"}

// has says which objects there must be, as "Kind/name".
func (w *world) has(want ...string) {
	w.Helper()
	var got []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.FromAPIVersionAndKind(kinds[kind], kind+"List"))
		if err := w.raw.List(w.Context(), list); err != nil {
			w.Fatal(err)
		}
		for _, o := range list.Items {
			got = append(got, kind+"/"+o.GetName())
		}
	}
	if slices.Sort(want); !slices.Equal(got, want) {
		w.Fatalf("there are %v, want %v", got, want)
	}
}

func (w *world) get(kind, name string) *unstructured.Unstructured {
	w.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.FromAPIVersionAndKind(kinds[kind], kind))
	if err := w.raw.Get(w.Context(), client.ObjectKey{Namespace: "ns", Name: name}, o); err != nil {
		w.Fatal(err)
	}
	return o
}

func (w *world) set(kind, name string, value any, at ...string) {
	w.Helper()
	o := w.get(kind, name)
	if err := unstructured.SetNestedField(o.Object, value, at...); err != nil {
		w.Fatal(err)
	}
	write := w.raw.Update
	if at[0] == "status" && !strings.Contains(kinds[kind], "keda") {
		write = func(ctx context.Context, o client.Object, _ ...client.UpdateOption) error {
			return w.raw.Status().Update(ctx, o)
		}
	}
	if err := write(w.Context(), o); err != nil {
		w.Fatal(err)
	}
}

// comesUp does what Kubernetes does for a Deployment.
func (w *world) comesUp(name string) {
	w.set("Deployment", name, int64(1), "status", "readyReplicas")
	w.set("Deployment", name, int64(1), "status", "availableReplicas")
}

func (w *world) rests(s cluster.Service) {
	w.Helper()
	before := w.writes
	if w.apply(s); w.writes != before {
		w.Errorf("%d writes although nothing changed", w.writes-before)
	}
}
