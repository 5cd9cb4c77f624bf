package kedahttp

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// servicePort is that of every revision's Service.
const servicePort = 80

// responseTime is how long an interceptor waits for the beginning of an answer, as long as Knative does. Before version 0.14 it is half a second
// otherwise.
const responseTime = 5 * time.Minute

// meta is that of an object of the function.
func (w *work) meta(name string, labels map[string]string) metav1.ObjectMeta {
	all := map[string]string{v1beta2.LabelManaged: "true"}
	maps.Copy(all, labels)
	maps.Copy(all, map[string]string{v1beta2.LabelFunction: w.service.Name, labelEngine: engineName})
	return metav1.ObjectMeta{Namespace: w.service.Namespace, Name: name, Labels: all, OwnerReferences: []metav1.OwnerReference{w.service.Owner}}
}

func selector(c *copies) map[string]string {
	return map[string]string{v1beta2.LabelFunction: c.Labels[v1beta2.LabelFunction], v1beta2.LabelServing: c.Name}
}

// deployment is that of a revision. How many copies it has is KEDA's to say once there is a scaler.
func (w *work) deployment(c *copies) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: deploymentKind.Kind}, ObjectMeta: w.meta(c.Name, c.Labels)}
	if c.proven {
		d.Annotations = map[string]string{annotationProven: "true"}
	}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: selector(c)}
	d.Spec.RevisionHistoryLimit = new(int32(1))
	switch {
	case !c.run:
		d.Spec.Replicas = new(int32(0))
	case !c.proven:
		d.Spec.Replicas = new(int32(1))
	}
	if t := c.StartTimeout; t > 0 {
		d.Spec.ProgressDeadlineSeconds = new(int32(min(math.MaxInt32, max(1, math.Ceil(t.Seconds())))))
	}
	labels := maps.Clone(c.Labels)
	maps.Copy(labels, selector(c))
	d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: c.Annotations}, Spec: *c.Pod.DeepCopy()}
	function := functionOf(&d.Spec.Template.Spec)
	if function == nil || len(function.Ports) == 0 {
		return nil, fmt.Errorf("the template of %s has no container %q with a port", c.Name, v1beta2.FunctionContainer)
	}
	if !slices.ContainsFunc(function.Env, func(e corev1.EnvVar) bool { return e.Name == "PORT" }) {
		function.Env = append(function.Env, corev1.EnvVar{Name: "PORT", Value: strconv.Itoa(int(function.Ports[0].ContainerPort))})
	}
	if !slices.ContainsFunc(function.Env, func(e corev1.EnvVar) bool { return e.Name == "POD_NAME" }) { // OpenFunction's frameworks do not start without it
		function.Env = append(function.Env, corev1.EnvVar{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}})
	}
	if function.ReadinessProbe == nil && function.StartupProbe == nil { // otherwise the first requests come before it listens
		function.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1,
			ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(function.Ports[0].ContainerPort)}}}
	}
	return d, nil
}

func functionOf(p *corev1.PodSpec) *corev1.Container {
	for i := range p.Containers {
		if p.Containers[i].Name == v1beta2.FunctionContainer {
			return &p.Containers[i]
		}
	}
	return nil
}

// revisionService leads to the copies of a revision.
func (w *work) revisionService(c *copies) *corev1.Service {
	s := &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: serviceKind.Kind}, ObjectMeta: w.meta(c.Name, c.Labels)}
	port := functionOf(&c.Pod).Ports[0]
	p := corev1.ServicePort{Name: "http", Port: servicePort, TargetPort: intstr.FromInt32(port.ContainerPort), Protocol: corev1.ProtocolTCP}
	if port.Name == "h2c" {
		p.AppProtocol = new("kubernetes.io/h2c")
	}
	s.Spec = corev1.ServiceSpec{Selector: selector(c), Ports: []corev1.ServicePort{p}}
	return s
}

// nameService makes a name lead to the interceptor, which knows by the host what is meant.
func (w *work) nameService(name string) *corev1.Service {
	s := &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: serviceKind.Kind}, ObjectMeta: w.meta(name, nil)}
	s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: fmt.Sprintf("%s.%s.svc.%s", proxyService, w.options.Namespace, w.options.ClusterDomain)}
	return s
}

func tagged(tag, function string) string { return tag + "-" + function }

// hosts are those by which a name is called, with and without what the resolvers of pods add. A name alone is no host: every namespace
// may have it.
func (w *work) hosts(name string) []string {
	short := name + "." + w.service.Namespace
	return []string{short, short + ".svc", short + ".svc." + w.options.ClusterDomain}
}

// own is the host that is a revision's alone.
func (w *work) own(revision string) string {
	return revision + "." + w.service.Namespace + ".svc." + w.options.ClusterDomain
}

func (w *work) address(name string) string {
	port := ""
	if w.options.ProxyPort != 80 {
		port = fmt.Sprintf(":%d", w.options.ProxyPort)
	}
	return fmt.Sprintf("http://%s.%s.svc.%s%s/", name, w.service.Namespace, w.options.ClusterDomain, port)
}

func (w *work) hostsOf(c *copies) []string {
	out := w.hosts(c.Name)
	if c.main {
		out = append(out, w.hosts(w.service.Name)...)
	}
	for _, tag := range c.tags {
		out = append(out, w.hosts(tagged(tag, w.service.Name))...)
	}
	return out
}

// custom is an object of KEDA.
type custom struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            map[string]any    `json:"spec"`
}

func (w *work) interceptorRoute(c *copies) custom {
	return custom{metav1.TypeMeta{APIVersion: routeKind.GroupVersion().String(), Kind: routeKind.Kind}, w.meta(c.Name, c.Labels), map[string]any{
		"target":        map[string]any{"service": c.Name, "port": servicePort},
		"rules":         []any{map[string]any{"hosts": w.hostsOf(c)}},
		"scalingMetric": metricOf(c),
	}}
}

func (w *work) scaledObject(c *copies) custom {
	scale := scaleOf(c)
	spec := map[string]any{
		"scaleTargetRef":        map[string]any{"apiVersion": "apps/v1", "kind": deploymentKind.Kind, "name": c.Name},
		"minReplicaCount":       scale.least,
		"cooldownPeriod":        scale.cooldown,
		"initialCooldownPeriod": scale.cooldown, // otherwise the copy that proved it is taken away at once
		"triggers": []any{map[string]any{"type": "external-push", "metadata": map[string]any{
			"scalerAddress": fmt.Sprintf("%s.%s:%d", scalerService, w.options.Namespace, scalerPort), "interceptorRoute": c.Name}}},
	}
	if scale.most > 0 {
		spec["maxReplicaCount"] = scale.most
	}
	if len("keda-hpa-"+c.Name) > validation.LabelValueMaxLength { // KEDA refuses what it would call so
		spec["advanced"] = map[string]any{"horizontalPodAutoscalerConfig": map[string]any{"name": c.Name}}
	}
	m := w.meta(c.Name, c.Labels)
	m.Annotations = pauses(w.service.Annotations)
	return custom{metav1.TypeMeta{APIVersion: scaledObjectKind.GroupVersion().String(), Kind: scaledObjectKind.Kind}, m, spec}
}

// httpScaledObject is route and scaler in one, of which the add-on makes the ScaledObject.
func (w *work) httpScaledObject(c *copies) custom {
	scale := scaleOf(c)
	replicas := map[string]any{"min": scale.least}
	if scale.most > 0 {
		replicas["max"] = scale.most
	}
	m := w.meta(c.Name, c.Labels)
	m.Annotations = pauses(w.service.Annotations)
	return custom{metav1.TypeMeta{APIVersion: olderKind.GroupVersion().String(), Kind: olderKind.Kind}, m, map[string]any{
		"hosts": w.hostsOf(c),
		"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": deploymentKind.Kind, "name": c.Name,
			"service": c.Name, "port": servicePort},
		"replicas":              replicas,
		"scaledownPeriod":       scale.cooldown,
		"initialCooldownPeriod": scale.cooldown,
		"scalingMetric":         metricOf(c),
		"timeouts":              map[string]any{"responseHeader": responseTime.String()},
	}}
}

// pauses are the annotations of a Function by which KEDA's scaling is paused.
func pauses(all map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range all {
		if strings.HasPrefix(k, "autoscaling.keda.sh/") {
			out[k] = v
		}
	}
	return out
}
