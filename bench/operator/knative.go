package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const group = "serving.knative.dev"

// definition is one of Knative's: its true names, and whatever content.
func definition(kind, plural string) *apiextensionsv1.CustomResourceDefinition {
	anything := apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
	d := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group}}
	d.Spec = apiextensionsv1.CustomResourceDefinitionSpec{Group: group, Scope: apiextensionsv1.NamespaceScoped,
		Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(kind), Kind: kind, ListKind: kind + "List"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true,
			Schema:       &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &anything},
			Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}}}}}
	return d
}

func object(kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// knative makes a ready Revision of the template of each Service.
type knative struct{ client client.Client }

func newKnative(config *rest.Config, scheme *runtime.Scheme) (manager.Manager, error) {
	m, err := ctrl.NewManager(config, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}}})
	if err != nil {
		return nil, err
	}
	k := &knative{m.GetClient()}
	return m, ctrl.NewControllerManagedBy(m).Named("knative").For(object("Service", "", "")).Owns(object("Revision", "", "")).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, SkipNameValidation: new(true), UsePriorityQueue: new(false)}).Complete(k)
}

// Reconcile plays Knative for one Service.
func (k *knative) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	s := object("Service", req.Namespace, req.Name)
	if err := k.client.Get(ctx, req.NamespacedName, s); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	template, _, _ := unstructured.NestedMap(s.Object, "spec", "template")
	name, _, _ := unstructured.NestedString(template, "metadata", "name")
	r := object("Revision", req.Namespace, name)
	if err := k.client.Get(ctx, client.ObjectKeyFromObject(r), r); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, err
	} else if err != nil {
		r.Object["spec"] = template["spec"]
		labels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
		labels[group+"/service"] = s.GetName()
		r.SetLabels(labels)
		r.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(s, s.GroupVersionKind())})
		if err := k.client.Create(ctx, r); err != nil {
			return reconcile.Result{}, err
		}
	}
	err := k.status(ctx, r, map[string]any{"conditions": []any{isTrue("Ready")}, "actualReplicas": int64(0), "desiredReplicas": int64(0)})
	if err != nil {
		return reconcile.Result{}, err
	}
	traffic, _, _ := unstructured.NestedSlice(s.Object, "spec", "traffic")
	return reconcile.Result{}, k.status(ctx, s, map[string]any{"observedGeneration": s.GetGeneration(), "traffic": traffic,
		"url": fmt.Sprintf("http://%s.%s.example.com", req.Name, req.Namespace), "conditions": []any{isTrue("ConfigurationsReady"), isTrue("RoutesReady")}})
}

func isTrue(kind string) map[string]any { return map[string]any{"type": kind, "status": "True"} }

func (k *knative) status(ctx context.Context, u *unstructured.Unstructured, status map[string]any) error {
	if reflect.DeepEqual(u.Object["status"], status) {
		return nil
	}
	before := u.DeepCopy()
	u.Object["status"] = status
	return k.client.Status().Patch(ctx, u, client.MergeFrom(before))
}
