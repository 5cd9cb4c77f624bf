package main

import (
	"context"
	"errors"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/engines"
	functionplace "github.com/openfunction/ofn/internal/control/function/place"
	"github.com/openfunction/ofn/internal/run/dapr"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// daprWay runs functions that Dapr calls, and those that nothing calls but KEDA's triggers.
func daprWay(m ctrl.Manager) functionplace.Way {
	c := m.GetClient()
	return functionplace.Way{Name: functionplace.WayDapr, Engine: dapr.New(c, m.GetAPIReader(), hasKEDA(c)), Ref: v1beta2.RefAsyncWorkload,
		Sometimes: []functionplace.Need{{Engine: engines.KEDA(), For: triggered}}, Kinds: workloads(), Components: true}
}

// triggered says whether KEDA scales a revision.
func triggered(s *v1beta2.Serving) bool {
	o := s.Spec.ScaleOptions
	return o != nil && o.Keda != nil && len(o.Keda.Triggers) > 0
}

// hasKEDA says whether the cluster has KEDA now.
func hasKEDA(c client.Reader) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		err := engines.Check(ctx, c, engines.KEDA())
		if lacks := (*engines.Missing)(nil); errors.As(err, &lacks) {
			return false, nil
		}
		return err == nil, err
	}
}

// possible leaves out the ways that make objects of kinds which the API server does not have: one without pods, such as that of one
// machine, has no Deployments either.
func possible(m ctrl.Manager, all []functionplace.Way) []functionplace.Way {
	return slices.DeleteFunc(all, func(w functionplace.Way) bool {
		return slices.ContainsFunc(w.Kinds, func(o client.Object) bool {
			kind, err := m.GetClient().GroupVersionKindFor(o)
			if err != nil {
				return true
			}
			_, err = m.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
			return meta.IsNoMatchError(err)
		})
	})
}

// podsOf reads pods, whose changes the other ways watch; nil on an API server without them.
func podsOf(m ctrl.Manager) client.Reader {
	kind := corev1.SchemeGroupVersion.WithKind("Pod")
	if _, err := m.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version); meta.IsNoMatchError(err) {
		return nil
	}
	return m.GetClient()
}

// workloads are Kubernetes' own kinds of which engines make objects, in the form in which those are read.
func workloads() []client.Object {
	out := []client.Object{&corev1.Pod{}}
	for _, kind := range []schema.GroupVersionKind{
		appsv1.SchemeGroupVersion.WithKind("Deployment"), appsv1.SchemeGroupVersion.WithKind("StatefulSet"),
		batchv1.SchemeGroupVersion.WithKind("Job"), corev1.SchemeGroupVersion.WithKind("Service"),
	} {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kind)
		out = append(out, u)
	}
	return out
}

// ofFunctions lets a cache hold only what belongs to functions of all the workloads of a cluster, and of pods only how they stand.
func ofFunctions(o *cache.Options) error {
	has, err := labels.NewRequirement(v1beta2.LabelFunction, selection.Exists, nil)
	if err != nil {
		return err
	}
	only := labels.NewSelector().Add(*has)
	for _, kind := range []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &batchv1.Job{}, &corev1.Service{}} {
		o.ByObject[kind] = cache.ByObject{Label: only}
	}
	o.ByObject[&corev1.Pod{}] = cache.ByObject{Label: only, Transform: podstatus.Strip}
	return nil
}
