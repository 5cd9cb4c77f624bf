package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

func equalJSON(a, b any) bool { return reflect.DeepEqual(a, b) }

// in is the same cluster in a test of its own.
func (o *operated) in(t *testing.T) *operated {
	return &operated{T: t, client: o.client, config: o.config}
}

func (o *operated) missing(t *testing.T) {
	in := o.in(t)
	fn := httpFunction("hello", "registry.example.com/hello:1")
	fn.Annotations = map[string]string{"serving.knative.dev/rollout-duration": "10s"}
	fn.Spec.Serving.Annotations = map[string]string{"autoscaling.knative.dev/target": "7"}
	fn.Spec.Serving.ScaleOptions = &v1beta2.ScaleOptions{MaxReplicas: new(int32(3)), ContainerConcurrency: new(int64(5))}
	fn.Spec.Serving.Params = map[string]string{"GREETING": "hi"}
	fn.Spec.ImageCredentials = &corev1.LocalObjectReference{Name: "pull"}
	err := fn.Spec.Serving.SetPodSpec(&corev1.PodSpec{ServiceAccountName: "robot", RuntimeClassName: new("gvisor"), Containers: []corev1.Container{{Name: "function",
		Env: []corev1.EnvVar{{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "k"}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	in.create(fn)
	if c := in.unready("hello", "EngineMissing"); !strings.Contains(c.Message, "Knative Serving") || !strings.Contains(c.Message, "kubectl apply") {
		t.Error("the condition does not say what is missing and how to install it:", c.Message)
	}
	o.install(knativeDefinitions(), o.knative)
	got := in.ready("hello", "hello-00001")
	if want := "http://hello.default.example.com"; got.Status.Addresses[0].Value != want {
		t.Errorf("addresses are %+v, want %s first", got.Status.Addresses, want)
	}
	in.rendered()
	serving := &v1beta2.Serving{}
	if err := in.get(serving, "hello-00001"); err != nil || serving.Status.ImageDigest != ranDigest || serving.Status.ResourceRef[v1beta2.RefKnativeService] != "hello" {
		t.Errorf("the serving has the status %+v (%v)", serving.Status, err)
	}
}

// rendered looks at what was handed to Knative.
func (o *operated) rendered() {
	o.Helper()
	s, err := o.knativeService("hello")
	if err != nil {
		o.Fatal(err)
	}
	if s.GetAnnotations()["serving.knative.dev/rollout-duration"] != "10s" || s.GetLabels()[v1beta2.LabelFunction] != "hello" {
		o.Errorf("the service has labels %v and annotations %v", s.GetLabels(), s.GetAnnotations())
	}
	annotations, _, _ := unstructured.NestedStringMap(s.Object, "spec", "template", "metadata", "annotations")
	if annotations["autoscaling.knative.dev/target"] != "7" || annotations["autoscaling.knative.dev/max-scale"] != "3" || annotations["autoscaling.knative.dev/container-concurrency"] != "" {
		o.Errorf("the template has the annotations %v", annotations)
	}
	spec, _, _ := unstructured.NestedMap(s.Object, "spec", "template", "spec")
	pull, _, _ := unstructured.NestedSlice(spec, "imagePullSecrets")
	if spec["containerConcurrency"] != int64(5) || spec["runtimeClassName"] != "gvisor" || spec["serviceAccountName"] != "robot" || len(pull) != 1 {
		o.Errorf("the template is %v", spec)
	}
	container := spec["containers"].([]any)[0].(map[string]any)
	seen := fmt.Sprint(container["env"])
	for _, want := range []string{"FUNC_CONTEXT", "GREETING", "secretKeyRef:map[key:k name:s]"} {
		if !strings.Contains(seen, want) {
			o.Errorf("the environment lacks %s: %s", want, seen)
		}
	}
	if port := fmt.Sprint(container["ports"]); !strings.Contains(port, "containerPort:8080") {
		o.Error("ports are", port)
	}
}

func (o *operated) revisions(t *testing.T) {
	in := o.in(t)
	fn := &v1beta2.Function{}
	in.change(fn, "hello", func() { fn.Spec.Image = "registry.example.com/hello:2" })
	in.ready("hello", "hello-00002")
	in.change(fn, "hello", func() { fn.Spec.Image = "registry.example.com/broken" })
	in.unready("hello", "ContainerMissing")
	in.shares("hello", "hello-00002=100") // the last good one goes on
	in.change(fn, "hello", func() {
		fn.Spec.Image = "registry.example.com/hello:4"
		fn.Spec.Serving.Traffic = []v1beta2.TrafficTarget{{RevisionName: "hello-00001", Percent: new(int64(90))}, {LatestRevision: new(true), Percent: new(int64(10)), Tag: "next"}}
	})
	got := in.ready("hello", "hello-00004")
	in.shares("hello", "hello-00001=90 hello-00004=10")
	if url := got.Status.Traffic[1].URL; url != "http://next-hello.default.example.com" {
		in.eventually(func(context.Context) string {
			_ = in.get(got, "hello")
			if url := got.Status.Traffic[1].URL; url != "http://next-hello.default.example.com" {
				return "the tag has the address " + url
			}
			return ""
		})
	}
}

// shares waits until the Knative Service divides the requests so.
func (o *operated) shares(name, want string) {
	o.Helper()
	o.eventually(func(context.Context) string {
		s, err := o.knativeService(name)
		if err != nil {
			return err.Error()
		}
		traffic, _, _ := unstructured.NestedSlice(s.Object, "spec", "traffic")
		var got []string
		for _, t := range traffic {
			got = append(got, fmt.Sprintf("%v=%v", t.(map[string]any)["revisionName"], t.(map[string]any)["percent"]))
		}
		if strings.Join(got, " ") != want {
			return "traffic is " + strings.Join(got, " ")
		}
		return ""
	})
}

func (o *operated) repaired(t *testing.T) {
	in := o.in(t)
	s := engineObject(knativeAPI, "Service", "hello")
	in.change(s, "hello", func() {
		_ = unstructured.SetNestedSlice(s.Object, []any{map[string]any{"revisionName": "hello-00002", "percent": int64(100)}}, "spec", "traffic")
		_ = unstructured.SetNestedField(s.Object, int64(1), "spec", "template", "spec", "containerConcurrency")
	})
	in.shares("hello", "hello-00001=90 hello-00004=10")
	in.eventually(func(context.Context) string {
		s, _ := in.knativeService("hello")
		if n, _, _ := unstructured.NestedInt64(s.Object, "spec", "template", "spec", "containerConcurrency"); n != 5 {
			return fmt.Sprint("containerConcurrency is ", n)
		}
		return ""
	})
	for _, gone := range []*unstructured.Unstructured{engineObject(knativeAPI, "Revision", "hello-00001"), engineObject(knativeAPI, "Service", "hello")} {
		if err := in.get(gone, gone.GetName()); err != nil {
			t.Fatal(err)
		}
		uid := gone.GetUID()
		if err := in.client.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		in.eventually(func(context.Context) string {
			if err := in.get(gone, gone.GetName()); err != nil || gone.GetUID() == uid {
				return fmt.Sprintf("%s %s is not made again (%v)", gone.GetKind(), gone.GetName(), err)
			}
			return ""
		})
	}
	in.ready("hello", "hello-00004")
	in.shares("hello", "hello-00001=90 hello-00004=10")
}

func (o *operated) refused(t *testing.T) {
	in := o.in(t)
	in.create(engineObject(knativeAPI, "Service", "taken"), httpFunction("taken", "registry.example.com/x"))
	in.unready("taken", "NameTaken")
	event := httpFunction("event", "registry.example.com/x")
	event.Spec.Serving.Triggers = &v1beta2.Triggers{Dapr: []*v1beta2.DaprTrigger{{DaprComponentRef: v1beta2.DaprComponentRef{Name: "c", Type: "bindings.cron"}}}}
	in.create(event)
	in.unready("event", "Unsupported")
	for _, name := range []string{"taken", "event"} {
		if err := in.client.Delete(t.Context(), httpFunction(name, "")); err != nil {
			t.Error(err)
		}
	}
	if _, err := in.knativeService("taken"); err != nil {
		t.Error("what another made is gone:", err)
	}
}

func built(name string, env map[string]string) *v1beta2.Function {
	fn := httpFunction(name, "registry.example.com/"+name+":1")
	fn.Spec.ImageCredentials = &corev1.LocalObjectReference{Name: "push"}
	fn.Spec.Build = &v1beta2.BuildTemplate{Env: env, Builder: new("example.com/builder"), Timeout: &metav1.Duration{Duration: 10 * time.Minute},
		Shipwright: &v1beta2.ShipwrightEngine{Strategy: &v1beta2.Strategy{Name: "mine"}},
		SrcRepo:    &v1beta2.SourceRepo{URL: "https://example.com/x.git", SourceSubPath: new("src"), Credentials: &corev1.LocalObjectReference{Name: "git"}}}
	return fn
}

func (o *operated) build(t *testing.T) {
	in := o.in(t)
	in.create(built("made", map[string]string{"FUNC_NAME": "a#b"}))
	in.waiting("made", "EngineMissing", "Shipwright Build")
	o.install(shipwrightDefinitions(), o.shipwright)
	in.waiting("made", "ClusterBuildStrategyNotFound", `"mine"`)
	strategy := engineObject(shipwrightAPI, "ClusterBuildStrategy", "mine")
	strategy.SetNamespace("")
	strategy.Object["spec"] = map[string]any{"steps": []any{}, "parameters": []any{map[string]any{"name": "builder-image"}, map[string]any{"name": "ENV", "type": "array"}}}
	in.create(strategy)
	fn := in.ready("made", "made-00001")
	serving := &v1beta2.Serving{}
	if err := in.get(serving, "made-00001"); err != nil || !strings.HasSuffix(serving.Spec.Image, "@"+builtDigest) {
		t.Errorf("the revision runs %s (%v)", serving.Spec.Image, err)
	}
	if len(fn.Status.Sources) != 1 || fn.Status.Sources[0].Git == nil || fn.Status.Sources[0].Git.CommitSha != "c0ffee" {
		t.Errorf("the sources are %+v", fn.Status.Sources)
	}
	b := engineObject(shipwrightAPI, "Build", "made-build-00001")
	if err := in.get(b, b.GetName()); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(b.Object["spec"])
	for _, want := range []string{"cloneSecret:git", "pushSecret:push", "contextDir:src", "FUNC_NAME=a#b", "value:example.com/builder", "timeout:10m0s"} {
		if !strings.Contains(got, want) {
			t.Errorf("the Build lacks %s: %s", want, got)
		}
	}
}

// waiting waits until a Function's build waits for a reason.
func (o *operated) waiting(name, reason, text string) {
	o.Helper()
	o.eventually(func(context.Context) string {
		fn := &v1beta2.Function{}
		if err := o.get(fn, name); err != nil {
			return err.Error()
		}
		if s := fn.Status.Build; s == nil || s.Reason != reason || !strings.Contains(s.Message, text) {
			return fmt.Sprintf("the build is %+v", s)
		}
		return ""
	})
}

func (o *operated) cancelled(t *testing.T) {
	in := o.in(t)
	in.create(built("held", map[string]string{"HOLD": "1"}))
	b := &v1beta2.Builder{}
	state := func(want v1beta2.State) {
		t.Helper()
		in.eventually(func(context.Context) string {
			if err := in.get(b, "held-build-00001"); err != nil || b.Status.State != want {
				return fmt.Sprintf("the builder is %s, want %s (%v)", b.Status.State, want, err)
			}
			return ""
		})
	}
	state(v1beta2.StateBuilding)
	in.change(b, "held-build-00001", func() { b.Spec.State = v1beta2.BuilderStateCancelled })
	state(v1beta2.StateCanceled)
}

func (o *operated) quiet(t *testing.T) {
	// What is under way comes to rest, however long that takes here. A controller that never does never writes nothing for so long.
	const rest = 3 * time.Second
	last, since := o.writes.Load(), time.Now()
	o.in(t).eventually(func(context.Context) string {
		if n := o.writes.Load(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) < rest {
			return "the operator goes on writing although nothing changes"
		}
		return ""
	})
}

func (o *operated) takeover(t *testing.T) {
	in := o.in(t)
	fn := &v1beta2.Function{}
	in.change(fn, "hello", func() { fn.Spec.Image = "registry.example.com/hello:5"; fn.Spec.Serving.Traffic = nil })
	in.ready("hello", "hello-00005")
	in.change(fn, "hello", func() { fn.Spec.Serving, fn.Spec.Build = nil, built("hello", nil).Spec.Build })
	in.eventually(func(context.Context) string {
		if _, err := in.knativeService("hello"); client.IgnoreNotFound(err) != nil || err == nil {
			return "a function without serving still has a service"
		}
		return ""
	})
}

func (o *operated) removed(t *testing.T) {
	in := o.in(t)
	for _, d := range knativeDefinitions() {
		if err := in.client.Delete(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	in.unready("made", "EngineMissing")
	for _, d := range knativeDefinitions() {
		in.eventually(func(ctx context.Context) string { // the old ones may still be on their way out
			if err := in.client.Create(ctx, d.DeepCopy()); err != nil {
				return err.Error()
			}
			return ""
		})
	}
	in.ready("made", "made-00001")
}
