package kubeapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// fieldManager owns, in server-side apply, the fields that the control plane sets at each start.
const fieldManager = "ofn-up"

// namespaces exist from the first start.
var namespaces = [...]string{"default", "kube-system", "openfunction"}

// parallelApplies bounds the requests of an installation that are under way at one time.
const parallelApplies = 4

// How often it is asked what is served, and for how long, until it is all that was installed.
const (
	listedPeriod = 10 * time.Millisecond
	listedLimit  = 30 * time.Second
)

// installer applies objects on the server's side.
type installer struct {
	client dynamic.Interface
	record string // the file that remembers what was installed
}

func (s *Server) newInstaller() (*installer, error) {
	config := s.Config()
	config.ContentType = runtime.ContentTypeJSON
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the client that installs defaults: %w", err)
	}
	return &installer{client: client, record: s.dir.installed()}, nil
}

// install makes true what every user counts on, and returns when the API is ready and it is: namespaces, roles, the given CRDs
// (established) and objects.
func (s *Server) install(ctx context.Context) error {
	in, err := s.newInstaller()
	if err != nil {
		return err
	}
	// The built-in kinds are served long before the server calls itself ready, which waits for caches.
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() error { return s.awaitReady(starting) })
	group.Go(func() error { return in.applyAll(starting, builtinObjects()) })
	if err := group.Wait(); err != nil {
		return err
	}
	if describe := s.options.Describe; describe != nil {
		crds, objects := describe(s.CA(), s.url)
		s.options.CRDs = append(slices.Clone(s.options.CRDs), crds...)
		s.options.Objects = append(slices.Clone(s.options.Objects), objects...)
	}
	if err := in.installCRDs(ctx, s.options.CRDs, s.api.crds.Informers.Apiextensions().V1().CustomResourceDefinitions()); err != nil {
		return err
	}
	return in.applyInOrder(ctx, s)
}

// builtinObjects are those of this package, independent of one another.
func builtinObjects() []located {
	var objects []located
	for _, name := range namespaces {
		objects = append(objects, located{corev1.SchemeGroupVersion.WithResource("namespaces"), &corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: name},
		}})
	}
	roles, bindings := defaultRoles()
	for i := range roles {
		roles[i].TypeMeta = metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"}
		objects = append(objects, located{rbacv1.SchemeGroupVersion.WithResource("clusterroles"), &roles[i]})
	}
	for i := range bindings {
		bindings[i].TypeMeta = metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"}
		objects = append(objects, located{rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings"), &bindings[i]})
	}
	return objects
}

// located is an object and the resource it is stored as.
type located struct {
	resource schema.GroupVersionResource
	object   runtime.Object
}

// applyAll applies objects in any order.
func (in *installer) applyAll(ctx context.Context, objects []located) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelApplies)
	for _, l := range objects {
		group.Go(func() error { return in.apply(ctx, l) })
	}
	return group.Wait()
}

// applyInOrder applies the caller's objects, whose kinds may be those of the CRDs just established.
func (in *installer) applyInOrder(ctx context.Context, s *Server) error {
	kinds := kindsOf(s.options.CRDs, s.options.Objects)
	if len(kinds) == 0 {
		return nil
	}
	mapper, err := awaitListed(ctx, s.api.client.Discovery(), kinds)
	if err != nil {
		return err
	}
	for _, object := range s.options.Objects {
		kind := object.GetObjectKind().GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return fmt.Errorf("installing a default object: %w", err)
		}
		if err := in.apply(ctx, located{mapping.Resource, object}); err != nil {
			return err
		}
	}
	return nil
}

// kindsOf are those that definitions serve, and those of objects.
func kindsOf(crds []*apiextensionsv1.CustomResourceDefinition, objects []runtime.Object) []schema.GroupVersionKind {
	var out []schema.GroupVersionKind
	for _, crd := range crds {
		for _, v := range crd.Spec.Versions {
			if v.Served {
				out = append(out, schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind})
			}
		}
	}
	for _, object := range objects {
		out = append(out, object.GetObjectKind().GroupVersionKind())
	}
	return out
}

// awaitListed asks what is served until all these kinds are: an established definition is served a moment before it is listed, and clients,
// the platform's controllers among them, go by the list.
func awaitListed(ctx context.Context, from discovery.DiscoveryInterface, kinds []schema.GroupVersionKind) (mapper meta.RESTMapper, err error) {
	var missing error
	err = wait.PollUntilContextTimeout(ctx, listedPeriod, listedLimit, true, func(context.Context) (bool, error) {
		groups, err := restmapper.GetAPIGroupResources(from)
		if err != nil {
			return false, fmt.Errorf("asking what kinds are served: %w", err)
		}
		mapper, missing = restmapper.NewDiscoveryRESTMapper(groups), nil
		for _, kind := range kinds {
			if _, missing = mapper.RESTMapping(kind.GroupKind(), kind.Version); missing != nil {
				break
			}
		}
		return missing == nil, nil
	})
	if wait.Interrupted(err) && missing != nil {
		err = fmt.Errorf("waiting until the kinds of default objects are listed: %w", missing)
	}
	return mapper, err
}

// apply sets the fields of the object and leaves those of other managers alone.
func (in *installer) apply(ctx context.Context, l located) error {
	object, err := toUnstructured(l.object)
	if err != nil {
		return err
	}
	var client dynamic.ResourceInterface = in.client.Resource(l.resource)
	if namespace := object.GetNamespace(); namespace != "" {
		client = in.client.Resource(l.resource).Namespace(namespace)
	}
	_, err = client.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("installing %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

// toUnstructured drops what must not be applied: a status, and the null creation time that typed objects encode.
func toUnstructured(object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding a default object: %w", err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(content); err != nil {
		return nil, fmt.Errorf("encoding a default object: %w", err)
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(u.Object, "status")
	return u, nil
}
