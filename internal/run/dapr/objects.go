package dapr

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// labelEngine is on everything of this engine, pods included, so that it takes nothing for its own that another engine made for
// the same function.
const (
	labelEngine = "openfunction.io/engine"
	engineName  = "dapr"
)

// annotationAppPort is where Dapr's sidecar calls the function, if it does.
const annotationAppPort = "dapr.io/app-port"

// servicePort is where a function's Service is reached.
const servicePort = 80

// foreign begin the annotations of a revision that only Knative reads.
var foreign = []string{"autoscaling.knative.dev/", "serving.knative.dev/"} //nolint:gochecknoglobals // never changes

// manifest is an object as it is applied: no status, and no empty times.
type manifest struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   metadata       `json:"metadata"`
	Spec       map[string]any `json:"spec"`
}

type metadata = drift.Metadata

type template struct {
	Metadata metadata `json:"metadata"`
	Spec     any      `json:"spec"`
}

// of is an object of a revision, which is named as the revision is.
func of(s *cluster.Service, r *cluster.Revision, version, kind string, spec map[string]any) manifest {
	return manifest{APIVersion: version, Kind: kind, Spec: spec,
		Metadata: metadata{Namespace: s.Namespace, Name: r.Name, Labels: labels(r), Owners: []metav1.OwnerReference{s.Owner}}}
}

func labels(r *cluster.Revision) map[string]string {
	out := maps.Clone(r.Labels)
	if out == nil {
		out = map[string]string{}
	}
	out[labelEngine] = engineName
	return out
}

// selector is by what a revision's pods are known.
func selector(s *cluster.Service, r *cluster.Revision) map[string]string {
	return map[string]string{v1beta2.LabelFunction: s.Name, v1beta2.LabelServing: r.Name, labelEngine: engineName}
}

// workloadOf is the kind of the revision's workload. One that requests call is a service, whatever it says.
func workloadOf(r *cluster.Revision) string {
	if !r.HTTP && (r.Workload == v1beta2.WorkloadTypeStatefulSet || r.Workload == v1beta2.WorkloadTypeJob) {
		return r.Workload
	}
	return v1beta2.WorkloadTypeDeployment
}

// scaled says whether KEDA decides on the number of copies.
func scaled(r *cluster.Revision) bool {
	return r.Scale != nil && r.Scale.Keda != nil && len(r.Scale.Keda.Triggers) > 0
}

// workload is that of a revision.
func workload(s *cluster.Service, r *cluster.Revision, kind string) (manifest, error) {
	t, err := templateOf(r, kind)
	if err != nil {
		return manifest{}, err
	}
	if kind == v1beta2.WorkloadTypeJob {
		return of(s, r, "batch/v1", kind, map[string]any{"template": t}), nil
	}
	spec := map[string]any{"selector": map[string]any{"matchLabels": selector(s, r)}, "template": t}
	if !scaled(r) {
		spec["replicas"] = fixed(r)
	}
	if function(&r.Pod).ReadinessProbe == nil && !listens(r) {
		spec["minReadySeconds"] = settled
	}
	switch {
	case kind == v1beta2.WorkloadTypeStatefulSet:
		spec["serviceName"] = s.Name
	case r.StartTimeout >= time.Second:
		spec["progressDeadlineSeconds"] = int64(r.StartTimeout / time.Second)
	}
	return of(s, r, "apps/v1", kind, spec), nil
}

// annotationTried keeps on a workload that it was ready, for the time when it has no copies.
const annotationTried = "openfunction.io/proven"

// count is how many copies a workload has that KEDA scales: one to try it with, then as many as KEDA says.
func count(m *manifest, tried bool) {
	if tried {
		m.Metadata.Annotations = map[string]string{annotationTried: "true"}
		return
	}
	m.Spec["replicas"] = int64(1)
}

// settled is for how many seconds a copy must run to count as one that works, when nothing else tells.
const settled = 3

// listens says whether something calls the revision at its port.
func listens(r *cluster.Revision) bool { return r.HTTP || r.Annotations[annotationAppPort] != "" }

// fixed is the number of copies of a revision that nothing scales. Nothing would wake it, so that there is one at least.
func fixed(r *cluster.Revision) int64 {
	if r.Scale == nil || r.Scale.MinReplicas == nil {
		return 1
	}
	return int64(max(1, *r.Scale.MinReplicas))
}

// templateOf is the revision's pod.
func templateOf(r *cluster.Revision, kind string) (template, error) {
	pod := *r.Pod.DeepCopy()
	if pod.EnableServiceLinks == nil {
		pod.EnableServiceLinks = new(false)
	}
	if kind == v1beta2.WorkloadTypeJob {
		pod.RestartPolicy = restart(r)
	}
	c := function(&pod)
	if c.TerminationMessagePolicy == "" {
		c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError // for the message about a crash
	}
	if c.ReadinessProbe == nil && listens(r) && kind != v1beta2.WorkloadTypeJob && len(c.Ports) > 0 { // a program that ends at once is ready until then otherwise
		c.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
			TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(c.Ports[0].ContainerPort)}}}
	}
	known := func(name string) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	}
	if !known("POD_NAME") {
		c.Env = append(c.Env, corev1.EnvVar{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}})
	}
	if len(c.Ports) > 0 && !known("PORT") {
		c.Env = append(c.Env, corev1.EnvVar{Name: "PORT", Value: strconv.Itoa(int(c.Ports[0].ContainerPort))})
	}
	data, err := json.Marshal(pod)
	if err != nil {
		return template{}, fmt.Errorf("encoding the template of %s: %w", r.Name, err)
	}
	annotations := map[string]string{}
	for k, v := range r.Annotations {
		if !slices.ContainsFunc(foreign, func(p string) bool { return strings.HasPrefix(k, p) }) {
			annotations[k] = v
		}
	}
	return template{Metadata: metadata{Labels: labels(r), Annotations: annotations}, Spec: json.RawMessage(data)}, nil
}

// function is the user's container; a revision always has it.
func function(pod *corev1.PodSpec) *corev1.Container {
	i := slices.IndexFunc(pod.Containers, func(c corev1.Container) bool { return c.Name == v1beta2.FunctionContainer })
	return &pod.Containers[max(i, 0)]
}

// restart is what becomes of a Job's pod that fails. Always, which the API takes, is not for Jobs.
func restart(r *cluster.Revision) corev1.RestartPolicy {
	if scaled(r) && r.Scale.Keda.ScaledJob != nil {
		if p := r.Scale.Keda.ScaledJob.RestartPolicy; p != nil && *p == string(corev1.RestartPolicyNever) {
			return corev1.RestartPolicyNever
		}
	}
	return corev1.RestartPolicyOnFailure
}

// serviceOf leads to the live revision under the function's name.
func serviceOf(s *cluster.Service, live *cluster.Revision) manifest {
	port := map[string]any{"name": "http", "port": servicePort, "targetPort": 0}
	for _, p := range function(&live.Pod).Ports {
		port["targetPort"] = p.ContainerPort
		if p.Name == "h2c" {
			port["appProtocol"] = "kubernetes.io/h2c"
		}
	}
	return manifest{APIVersion: "v1", Kind: "Service", Spec: map[string]any{"selector": selector(s, live), "ports": []any{port}},
		Metadata: metadata{Namespace: s.Namespace, Name: s.Name, Owners: []metav1.OwnerReference{s.Owner},
			Labels: map[string]string{v1beta2.LabelManaged: "true", v1beta2.LabelFunction: s.Name, labelEngine: engineName}}}
}
