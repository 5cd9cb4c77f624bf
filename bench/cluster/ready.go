package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// What must be reached.
const (
	readyLimit   = 1.2 // times what a bare Knative Service takes
	installLimit = 15 * time.Second
	crdLimit     = 100 << 10 // bytes
)

// readying installs ofn as a user does, and measures how long that takes, what the kinds weigh, and how long a function of a ready-made
// image takes to be ready on Knative, in turn with a Knative Service of the same image that nobody wrapped.
func (w *world) readying(ctx context.Context) error {
	began := time.Now()
	if _, err := output(ctx, nil, w.ofn, "install", "--image", ofnImage, "--timeout", patience.String()); err != nil {
		return err
	}
	installed := time.Since(began)
	defer func() { // whatever became of the measuring
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if _, err := output(ctx, nil, w.ofn, "uninstall", "--purge", "--yes"); err != nil {
			fmt.Fprintln(os.Stderr, "cluster: removing ofn:", err)
		}
	}()
	name, size, err := w.largest(ctx)
	if err != nil {
		return err
	}
	err = w.eventually(ctx, "there is a namespace", func() error { // one of a run before it may still be ending
		_, err := w.kubectl(ctx, "create", "namespace", namespace)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _, _ = w.kubectl(context.WithoutCancel(ctx), "delete", "namespace", namespace) }()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	function := &contender{client: client, text: bareFunction, gvr: schema.GroupVersionResource{Group: "core.openfunction.io", Version: "v1beta2", Resource: "functions"}}
	knative := &contender{client: client, text: bareKnative, gvr: schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}}
	pair := []*contender{function, knative}
	for i := range w.rounds + 1 { // the first one is for the caches of both
		for k := range pair {
			c := pair[(i+k)%2]
			took, err := c.ready(ctx, fmt.Sprintf("ready-%d-%d", i, k))
			if err != nil {
				return err
			}
			if i > 0 {
				c.took = append(c.took, took)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i, w.rounds)
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	f, k := percentile(function.took, 50), percentile(knative.took, 50)
	fmt.Printf("load of the machine: %s", load)
	fmt.Printf("install of ofn alone to ready %v (limit %v); largest kind %s, %d bytes (limit %d)\n", installed.Round(10*time.Millisecond), installLimit, name, size, crdLimit)
	fmt.Printf("apply to Ready, p50 of %d: function %v, Knative Service %v: %.2f (limit %.1f)\n", w.rounds, f.Round(time.Millisecond), k.Round(time.Millisecond), float64(f)/float64(k), readyLimit)
	return nil
}

// largest is the largest definition of a kind, as the API server stores it.
func (w *world) largest(ctx context.Context) (name string, size int, err error) {
	out, err := w.kubectl(ctx, "get", "crd", "-o", "json")
	if err != nil {
		return "", 0, err
	}
	var list struct{ Items []unstructured.Unstructured }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return "", 0, err
	}
	for _, crd := range list.Items {
		text, err := crd.MarshalJSON()
		if err != nil {
			return "", 0, err
		}
		if strings.HasSuffix(crd.GetName(), "openfunction.io") && len(text) > size {
			name, size = crd.GetName(), len(text)
		}
	}
	return name, size, nil
}

const (
	bareFunction = `
apiVersion: core.openfunction.io/v1beta2
kind: Function
spec: {image: "` + knativeImage + `", serving: {triggers: {http: {engine: knative, port: 8080}}, template: {containers: [{name: function, imagePullPolicy: IfNotPresent}]}}}
`
	bareKnative = `
apiVersion: serving.knative.dev/v1
kind: Service
spec: {template: {spec: {containers: [{image: "` + knativeImage + `", imagePullPolicy: IfNotPresent, ports: [{containerPort: 8080}]}]}}}
`
)

// contender is one kind of object that makes a function.
type contender struct {
	client dynamic.Interface
	text   string
	gvr    schema.GroupVersionResource
	took   []time.Duration
}

// ready is the time from the request that makes an object until its condition Ready is true. What is
// deleted ends meanwhile, that of either kind beside both.
func (c *contender) ready(ctx context.Context, name string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(c.text), &o.Object); err != nil {
		return 0, err
	}
	o.SetName(name)
	objects := c.client.Resource(c.gvr).Namespace(namespace)
	seen, err := objects.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return 0, err
	}
	defer seen.Stop()
	began := time.Now()
	if _, err := objects.Create(ctx, o, metav1.CreateOptions{}); err != nil {
		return 0, err
	}
	for e := range seen.ResultChan() {
		if o, ok := e.Object.(*unstructured.Unstructured); ok && e.Type != watch.Deleted && isReady(o) {
			took := time.Since(began)
			return took, objects.Delete(ctx, name, metav1.DeleteOptions{})
		}
	}
	return 0, fmt.Errorf("%s %s was not ready within %v", c.gvr.Resource, name, patience)
}

func isReady(o *unstructured.Unstructured) bool {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range all {
		if c, _ := c.(map[string]any); c["type"] == "Ready" {
			return c["status"] == "True"
		}
	}
	return false
}
