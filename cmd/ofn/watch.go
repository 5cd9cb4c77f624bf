package main

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/openfunction/ofn/internal/event/source/kubernetes"
)

// objectsOf watches objects of an API for event sources.
type objectsOf struct {
	api func() (*rest.Config, error)
}

// apiConfig is how the platform's own API is reached.
func (p *platform) apiConfig() (*rest.Config, error) {
	if p.api == nil {
		return nil, errors.New("the control plane is not up yet")
	}
	return p.api.Config(), nil
}

// Watch implements kubernetes.Watcher.
func (o objectsOf) Watch(ctx context.Context, q kubernetes.Query, started func(string), each func(kubernetes.Change) error) error {
	resource, err := o.resource(q)
	if err != nil {
		return err
	}
	options := metav1.ListOptions{LabelSelector: q.LabelSelector, FieldSelector: q.FieldSelector, ResourceVersion: q.From, AllowWatchBookmarks: true}
	if q.Name != "" {
		options.FieldSelector = "metadata.name=" + q.Name
	}
	if q.From == "" {
		now, err := resource.List(ctx, metav1.ListOptions{LabelSelector: options.LabelSelector, FieldSelector: options.FieldSelector, Limit: 1})
		if err != nil {
			return fmt.Errorf("listing %s: %w", q.Kind, err)
		}
		options.ResourceVersion = now.GetResourceVersion()
	}
	started(options.ResourceVersion)
	for ctx.Err() == nil { // the server ends every watch after a while
		if err := followObjects(ctx, resource, &options, each); err != nil {
			return err
		}
	}
	return nil
}

func (o objectsOf) resource(q kubernetes.Query) (dynamic.ResourceInterface, error) {
	config, err := o.api()
	if err != nil {
		return nil, err
	}
	version, err := schema.ParseGroupVersion(q.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("reading apiVersion %s: %w", q.APIVersion, err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	groups, err := restmapper.GetAPIGroupResources(d)
	if err != nil {
		return nil, fmt.Errorf("asking for the kinds there are: %w", err)
	}
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(version.WithKind(q.Kind).GroupKind(), version.Version)
	if err != nil {
		return nil, fmt.Errorf("finding %s of %s: %w", q.Kind, q.APIVersion, err)
	}
	c, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return c.Resource(mapping.Resource).Namespace(q.Namespace), nil
}

// followObjects tells of changes until the server ends the watch; o is where to go on.
func followObjects(ctx context.Context, resource dynamic.ResourceInterface, o *metav1.ListOptions, each func(kubernetes.Change) error) error {
	w, err := resource.Watch(ctx, *o)
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return fmt.Errorf("%w: %w", kubernetes.ErrForgotten, err)
	}
	if err != nil {
		return fmt.Errorf("watching: %w", err)
	}
	defer w.Stop()
	types := map[watch.EventType]string{watch.Added: "add", watch.Modified: "update", watch.Deleted: "delete"}
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			err := apierrors.FromObject(e.Object)
			if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
				return fmt.Errorf("%w: %w", kubernetes.ErrForgotten, err)
			}
			return fmt.Errorf("watching: %w", err)
		}
		object, ok := e.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		o.ResourceVersion = object.GetResourceVersion()
		kind, ok := types[e.Type]
		if !ok { // a bookmark
			continue
		}
		text, err := object.MarshalJSON()
		if err != nil {
			return fmt.Errorf("encoding %s: %w", object.GetName(), err)
		}
		if err := each(kubernetes.Change{Type: kind, Namespace: object.GetNamespace(), Name: object.GetName(), UID: string(object.GetUID()),
			ResourceVersion: object.GetResourceVersion(), Object: text}); err != nil {
			return err
		}
	}
	return nil
}
