package install_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	eventsv1alpha1 "github.com/openfunction/ofn/api/events/v1alpha1"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/config"
	"github.com/openfunction/ofn/internal/install"
)

// cluster is one whose controllers are played: definitions are established and Deployments available as soon as they are applied.
type cluster struct {
	t *testing.T
	client.Client
	// denied are rights, "verb resource", that nobody has.
	denied []string
	// idle keeps Deployments from becoming available.
	idle bool
	// writes are all changes, "patch deployments.apps/ofn-operator".
	writes []string
	// done is what the installer tells, steps and lines included.
	done []string
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1beta2.AddToScheme, networking.AddToScheme, eventsv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := &cluster{t: t}
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(ctx context.Context, next client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if err := next.Apply(ctx, o, opts...); err != nil {
				return err
			}
			options := (&client.ApplyOptions{}).ApplyOptions(opts)
			if len(options.DryRun) > 0 {
				return nil
			}
			c.writes = append(c.writes, "apply")
			return c.play(ctx, next, o)
		},
		Create: func(ctx context.Context, next client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if u, ok := o.(*unstructured.Unstructured); ok && u.GetKind() == "SelfSubjectAccessReview" {
				verb, _, _ := unstructured.NestedString(u.Object, "spec", "resourceAttributes", "verb")
				resource, _, _ := unstructured.NestedString(u.Object, "spec", "resourceAttributes", "resource")
				u.Object["status"] = map[string]any{"allowed": !slices.Contains(c.denied, verb+" "+resource)}
				return nil
			}
			return next.Create(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, next client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			c.writes = append(c.writes, "delete "+o.GetName())
			return next.Delete(ctx, o, opts...)
		},
	}).Build()
	return c
}

// play does what the cluster's own controllers do with an object.
func (c *cluster) play(ctx context.Context, next client.WithWatch, applied any) error {
	o, ok := applied.(interface {
		GetKind() string
		GetName() string
		GetNamespace() string
	})
	if !ok {
		return fmt.Errorf("%T is applied", applied)
	}
	key := client.ObjectKey{Namespace: o.GetNamespace(), Name: o.GetName()}
	switch o.GetKind() {
	case "CustomResourceDefinition":
		d := &apiextensionsv1.CustomResourceDefinition{}
		if err := next.Get(ctx, key, d); err != nil || len(d.Status.Conditions) > 0 {
			return err
		}
		d.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: "True"}}
		return next.Status().Update(ctx, d)
	case "Deployment":
		d := &appsv1.Deployment{}
		if err := next.Get(ctx, key, d); err != nil || c.idle {
			return err
		}
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		if d.Status.AvailableReplicas == want {
			return nil
		}
		d.Status.ObservedGeneration, d.Status.UpdatedReplicas, d.Status.AvailableReplicas = d.Generation, want, want
		return next.Status().Update(ctx, d)
	}
	return nil
}

func (c *cluster) installer() *install.Installer {
	say := func(format string, args ...any) { c.done = append(c.done, fmt.Sprintf(format, args...)) }
	return &install.Installer{Client: c.Client, Interval: time.Millisecond, Progress: install.Progress{
		Step: say, Line: say, Done: func(object, outcome string) { c.done = append(c.done, object+" "+outcome) }}}
}

// outcomes counts what became of objects since the last time.
func (c *cluster) outcomes() map[string]int {
	out := map[string]int{}
	for _, line := range c.done {
		var object, outcome string
		if n, _ := fmt.Sscan(line, &object, &outcome); n == 2 && slices.Contains([]string{"created", "configured", "unchanged", "deleted"}, outcome) {
			out[outcome]++
		}
	}
	c.done = nil
	return out
}

func request() install.Request {
	return install.Request{Manifests: install.Manifests{Files: light(), Version: "v1", Image: "registry.example.com/ofn:v1", Gateway: true}, Wait: true}
}

// light are the manifests with definitions that have no schemas, which a fake cluster would read again and again.
var light = sync.OnceValue(func() fs.FS {
	out := fstest.MapFS{}
	err := fs.WalkDir(config.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := config.Files.ReadFile(name)
		if strings.HasPrefix(name, "crd/") && !strings.HasSuffix(name, "kustomization.yaml") {
			o := map[string]any{}
			if err := yaml.Unmarshal(data, &o); err != nil {
				return err
			}
			for _, v := range o["spec"].(map[string]any)["versions"].([]any) {
				v.(map[string]any)["schema"] = map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
			}
			if data, err = yaml.Marshal(o); err != nil {
				return err
			}
		}
		out[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		panic(err)
	}
	return out
})
