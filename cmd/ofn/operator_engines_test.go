package main

import (
	"context"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	knativeAPI    = "serving.knative.dev/v1"
	shipwrightAPI = "shipwright.io/v1beta1"
	builtDigest   = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	ranDigest     = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

func knativeDefinitions() []*apiextensionsv1.CustomResourceDefinition {
	return []*apiextensionsv1.CustomResourceDefinition{
		definition("serving.knative.dev", "v1", "Revision", "revisions", apiextensionsv1.NamespaceScoped),
		definition("serving.knative.dev", "v1", "Service", "services", apiextensionsv1.NamespaceScoped),
	}
}

func shipwrightDefinitions() []*apiextensionsv1.CustomResourceDefinition {
	return []*apiextensionsv1.CustomResourceDefinition{
		definition("shipwright.io", "v1beta1", "Build", "builds", apiextensionsv1.NamespaceScoped),
		definition("shipwright.io", "v1beta1", "BuildRun", "buildruns", apiextensionsv1.NamespaceScoped),
		definition("shipwright.io", "v1beta1", "BuildStrategy", "buildstrategies", apiextensionsv1.NamespaceScoped),
		definition("shipwright.io", "v1beta1", "ClusterBuildStrategy", "clusterbuildstrategies", apiextensionsv1.ClusterScoped),
	}
}

// install makes the kinds of an engine and plays its controller until the test ends.
func (o *operated) install(definitions []*apiextensionsv1.CustomResourceDefinition, step func(context.Context) error) {
	o.Helper()
	for _, d := range definitions {
		o.create(d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var playing sync.WaitGroup
	playing.Go(func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			_ = step(ctx) // the kinds may not be served yet, or somebody else wrote first: next time
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	})
	o.Cleanup(func() { cancel(); playing.Wait() })
}

func (o *operated) each(ctx context.Context, version, kind string, do func(*unstructured.Unstructured) error) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.FromAPIVersionAndKind(version, kind+"List"))
	if err := o.client.List(ctx, list); err != nil {
		return err
	}
	for i := range list.Items {
		if err := do(&list.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// knative does what Knative's controllers do, as far as it can be seen from outside.
func (o *operated) knative(ctx context.Context) error {
	err := o.each(ctx, knativeAPI, "Service", func(s *unstructured.Unstructured) error {
		template, _, _ := unstructured.NestedMap(s.Object, "spec", "template")
		if err := o.knativeRevision(ctx, s, template); err != nil {
			return err
		}
		routed, shares := "True", []any{}
		traffic, _, _ := unstructured.NestedSlice(s.Object, "spec", "traffic")
		for _, t := range traffic {
			share := t.(map[string]any)
			name, _ := share["revisionName"].(string)
			if o.client.Get(ctx, client.ObjectKey{Namespace: s.GetNamespace(), Name: name}, engineObject(knativeAPI, "Revision", name)) != nil {
				routed = "False"
			}
			if tag, _ := share["tag"].(string); tag != "" {
				share["url"] = "http://" + tag + "-" + s.GetName() + ".default.example.com"
			}
			shares = append(shares, share)
		}
		return o.status(ctx, s, map[string]any{"observedGeneration": s.GetGeneration(), "url": "http://" + s.GetName() + ".default.example.com", "traffic": shares,
			"conditions": []any{map[string]any{"type": "ConfigurationsReady", "status": "True"}, map[string]any{"type": "RoutesReady", "status": routed, "reason": "Scripted", "message": ""}}})
	})
	if err != nil {
		return err
	}
	return o.each(ctx, knativeAPI, "Revision", func(r *unstructured.Unstructured) error {
		ready := map[string]any{"type": "Ready", "status": "True"}
		containers, _, _ := unstructured.NestedSlice(r.Object, "spec", "containers")
		if image := containers[0].(map[string]any)["image"]; image == "registry.example.com/broken" {
			ready = map[string]any{"type": "Ready", "status": "False", "reason": "ContainerMissing", "message": "no such image: registry.example.com/broken"}
		}
		return o.status(ctx, r, map[string]any{"conditions": []any{ready}, "actualReplicas": int64(1), "desiredReplicas": int64(1),
			"containerStatuses": []any{map[string]any{"name": "function", "imageDigest": "registry.example.com/x@" + ranDigest}}})
	})
}

// knativeRevision makes the Revision of a template, with Knative's defaults in it.
func (o *operated) knativeRevision(ctx context.Context, s *unstructured.Unstructured, template map[string]any) error {
	name, ok, _ := unstructured.NestedString(template, "metadata", "name")
	if !ok {
		return nil // not one of ours
	}
	labels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
	labels["serving.knative.dev/service"] = s.GetName()
	spec, _, _ := unstructured.NestedMap(template, "spec")
	for k, v := range map[string]any{"timeoutSeconds": int64(300), "containerConcurrency": int64(0), "enableServiceLinks": false} {
		if _, ok := spec[k]; !ok {
			spec[k] = v
		}
	}
	r := engineObject(knativeAPI, "Revision", name)
	r.Object["spec"] = spec
	r.SetNamespace(s.GetNamespace())
	r.SetLabels(labels)
	r.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(s, s.GroupVersionKind())})
	if err := o.client.Create(ctx, r); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// status writes a status that is not there yet.
func (o *operated) status(ctx context.Context, u *unstructured.Unstructured, status map[string]any) error {
	before := u.DeepCopy()
	u.Object["status"] = status
	if runtime.DeepCopyJSONValue(before.Object["status"]) != nil && equalJSON(before.Object["status"], status) {
		return nil
	}
	return o.client.Status().Patch(ctx, u, client.MergeFrom(before))
}

// shipwright does what Shipwright's controllers do. A build with HOLD in its environment runs until it is cancelled.
func (o *operated) shipwright(ctx context.Context) error {
	err := o.each(ctx, shipwrightAPI, "Build", func(b *unstructured.Unstructured) error {
		return o.status(ctx, b, map[string]any{"registered": "True", "reason": "Succeeded"})
	})
	if err != nil {
		return err
	}
	return o.each(ctx, shipwrightAPI, "BuildRun", func(r *unstructured.Unstructured) error {
		b := engineObject(shipwrightAPI, "Build", "")
		if err := o.client.Get(ctx, client.ObjectKeyFromObject(r), b); err != nil {
			return err
		}
		env, _, _ := unstructured.NestedSlice(b.Object, "spec", "env")
		hold := len(env) > 0 && env[0].(map[string]any)["name"] == "HOLD"
		state, _, _ := unstructured.NestedString(r.Object, "spec", "state")
		succeeded := map[string]any{"type": "Succeeded", "status": "Unknown", "reason": "Running"}
		status := map[string]any{}
		switch {
		case state == "BuildRunCanceled":
			succeeded = map[string]any{"type": "Succeeded", "status": "False", "reason": "BuildRunCanceled", "message": "cancelled"}
		case !hold:
			succeeded = map[string]any{"type": "Succeeded", "status": "True", "reason": "Succeeded"}
			status["output"] = map[string]any{"digest": builtDigest, "size": int64(4711)}
			status["source"] = map[string]any{"git": map[string]any{"commitSha": "c0ffee", "commitAuthor": "Ada"}}
		}
		status["conditions"] = []any{succeeded}
		return o.status(ctx, r, status)
	})
}
