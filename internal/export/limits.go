package export

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	eventsv1 "github.com/openfunction/ofn/api/events/v1alpha1"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// limits tells what of an object, as it is to be there, the target cannot do.
func (x *collector) limits(o *unstructured.Unstructured) error {
	switch o.GetKind() {
	case "Function":
		return x.function(o)
	case "EventSource":
		return x.source(o)
	case "EventBus", "ClusterEventBus":
		return x.bus(o)
	case "Trigger":
		x.defaultBus(o)
	case "Gateway":
		var g networking.Gateway
		if err := decode(o, &g); err != nil {
			return err
		}
		if d := g.Spec.GatewayDef; x.Target == Cluster && d != nil && d.GatewayClassName == "ofn" {
			x.warn(o, "spec.gatewayDef.gatewayClassName is ofn, this machine's: name a GatewayClass of the cluster (kubectl get gatewayclass)")
		}
	}
	return nil
}

func (x *collector) function(o *unstructured.Unstructured) error {
	var fn v1beta2.Function
	if err := decode(o, &fn); err != nil {
		return err
	}
	if b := fn.Spec.Build; b != nil {
		x.build(o, b)
	}
	s := fn.Spec.Serving
	if s == nil {
		return nil
	}
	if named := revisions(s.Traffic); len(named) > 0 {
		unstructured.RemoveNestedField(o.Object, "spec", "serving", "traffic")
		x.warn(o, "spec.serving.traffic is left out: it names %s, and revisions do not move; the newest one takes all there", strings.Join(named, ", "))
	}
	pod, err := s.PodSpec()
	if err != nil {
		x.warn(o, "%v", err)
		return nil
	}
	x.pod(o, pod)
	if x.Target == Cluster && fn.Annotations[v1beta2.AnnotationShare] != "" {
		x.warn(o, "functions that share copies (%s) run apart on a cluster: take the annotation away", v1beta2.AnnotationShare)
	}
	return nil
}

func revisions(traffic []v1beta2.TrafficTarget) []string {
	var out []string
	for _, t := range traffic {
		if t.RevisionName != "" {
			out = append(out, t.RevisionName)
		}
	}
	return out
}

func (x *collector) build(o *unstructured.Unstructured, b *v1beta2.BuildTemplate) {
	if b.SrcRepo != nil && strings.HasPrefix(b.SrcRepo.URL, "file:") {
		x.warn(o, "its source %s is on this machine: push it to a git server, deploy it from its directory (`ofn deploy DIR`), or export with --prebuilt", b.SrcRepo.URL)
	}
	if x.Target != Cluster {
		return
	}
	if name := b.Builder; name != nil && !strings.Contains(*name, "/") {
		x.warn(o, "build.builder %q is a builder of ofn and no image: name one, such as openfunction/builder-go, or export with --prebuilt", *name)
	}
	if b.Builder == nil && b.Dockerfile == nil {
		x.warn(o, "build names neither builder nor dockerfile, which only ofn's own builder knows how to do: name one, or export with --prebuilt")
	}
	if s := b.Shipwright; b.Dockerfile != nil && b.Builder == nil && (s == nil || s.Strategy == nil) {
		x.warn(o, "build.dockerfile without a strategy: name one of the cluster that builds Dockerfiles in build.shipwright.strategy (buildah, kaniko, buildkit), or export with --prebuilt")
	}
}

func (x *collector) pod(o *unstructured.Unstructured, pod *corev1.PodSpec) {
	if name := pod.ServiceAccountName; name != "" && name != "default" {
		x.warn(o, "runs as service account %s, which is not exported: make it there, with its rights", name)
	}
	for _, v := range pod.Volumes {
		switch {
		case v.HostPath != nil:
			x.warn(o, "volume %s is %s of this machine: put its content into a ConfigMap, a PersistentVolumeClaim or the image", v.Name, v.HostPath.Path)
		case v.PersistentVolumeClaim != nil:
			x.warn(o, "volume %s is the claim %s, which is not exported: make it there, and bring its content", v.Name, v.PersistentVolumeClaim.ClaimName)
		}
	}
	if class := pod.RuntimeClassName; class != nil && *class != "" {
		switch {
		case x.Target == Cluster:
			x.warn(o, "template.runtimeClassName is %s: the cluster needs a RuntimeClass of this name (kubectl get runtimeclass)", *class)
		case *class != v1beta2.OwnWasmRuntimeClass && *class != v1beta2.WasmRuntimeClass:
			x.warn(o, "template.runtimeClassName is %s: containerd on that machine needs a runtime of this name", *class)
		}
	}
}

func (x *collector) source(o *unstructured.Unstructured) error {
	var s eventsv1.EventSource
	if err := decode(o, &s); err != nil {
		return err
	}
	if x.Target == Cluster && len(s.Spec.File) > 0 {
		x.warn(o, "spec.file (%s) watches files of this machine: there are none on a cluster; take events of an object store (spec.s3) or a webhook instead",
			strings.Join(slices.Sorted(maps.Keys(s.Spec.File)), ", "))
	}
	x.defaultBus(o)
	return nil
}

// defaultBus is the bus that is there on a machine without being declared.
func (x *collector) defaultBus(o *unstructured.Unstructured) {
	if bus, _, _ := unstructured.NestedString(o.Object, "spec", "eventBus"); x.Target == Cluster && bus == eventsv1.DefaultEventBus {
		x.warn(o, "uses the event bus %q, which is inside this machine when it is not declared: make an EventBus of this name there (spec.jetStream, spec.kafka or spec.dapr)", bus)
	}
}

func (x *collector) bus(o *unstructured.Unstructured) error {
	var b eventsv1.EventBus
	if err := decode(o, &b); err != nil {
		return err
	}
	if s := b.Spec; x.Target == Cluster && s.JetStream == nil && s.Kafka == nil && s.Dapr == nil {
		x.warn(o, "is inside this machine: name a broker of the cluster in spec.jetStream, spec.kafka or spec.dapr; the events that wait here do not move")
	}
	return nil
}
