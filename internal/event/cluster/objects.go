package cluster

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/event"
)

// What pods of this engine listen at.
const (
	PortHTTP    = 8080 // webhooks, CloudEvents
	PortMetrics = 9464 // /metrics, /healthz, /readyz, /status
	PortNATS    = 4222
	PortMonitor = 8222 // of NATS, for KEDA
)

const (
	// annotationPlan is the hash of the Plan that a pod has read.
	annotationPlan = "openfunction.io/plan-hash"
	// planDir, stateDir and storeDir are where a pod sees its Plan, and may keep something.
	planDir, stateDir, storeDir = "/plan", "/state", "/store"
	user                        = 65532
)

// object is what is applied of an object: no status, and no empty times.
type object struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metadata          `json:"metadata"`
	Type            string            `json:"type,omitempty"`
	Data            map[string][]byte `json:"data,omitempty"`
	Spec            map[string]any    `json:"spec,omitempty"`
}

type metadata = drift.Metadata

// maker makes the objects of one part.
type maker struct {
	engine    *Engine
	ref       event.Ref
	namespace string
	owner     metav1.OwnerReference
}

func (m *maker) name() string { return objectName(m.ref) }

func (m *maker) labels() map[string]string {
	return map[string]string{LabelEvents: identity(m.ref), labelComponent: map[event.Kind]string{
		event.KindSource: "event-source", event.KindTrigger: "event-trigger", event.KindBus: "event-bus"}[m.ref.Kind]}
}

func (m *maker) object(apiVersion, kind string, spec map[string]any) object {
	return object{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}, Spec: spec,
		Metadata: metadata{Namespace: m.namespace, Name: m.name(), Labels: m.labels(), Owners: []metav1.OwnerReference{m.owner}}}
}

func (m *maker) secret(data map[string][]byte) object {
	o := m.object("v1", "Secret", nil)
	o.Type, o.Data = string(corev1.SecretTypeOpaque), data
	return o
}

func (m *maker) service(spec map[string]any) object {
	spec["selector"] = map[string]string{LabelEvents: identity(m.ref)}
	return m.object("v1", "Service", spec)
}

// EnvMemoryLimit has in pods of ofn the limit of their container's memory, in bytes, so that they keep below it.
const EnvMemoryLimit = "OFN_MEMORY_LIMIT"

// ensure makes an object as it is to be.
func (m *maker) ensure(ctx context.Context, o object) (*unstructured.Unstructured, error) {
	u, err := drift.Object(o)
	if err != nil {
		return nil, err
	}
	return drift.Ensure(ctx, m.engine.o.Objects, m.engine.o.Live, u)
}

// remove takes an object away if it is there and this part's.
func (m *maker) remove(ctx context.Context, apiVersion, kind string) error {
	u, err := drift.Object(m.object(apiVersion, kind, nil))
	if err != nil {
		return err
	}
	return drift.Delete(ctx, m.engine.o.Objects, u)
}

// template is that of the pods, which obey the pod security profile "restricted".
func (m *maker) template(annotations map[string]string, pod corev1.PodSpec) map[string]any {
	return map[string]any{"metadata": metadata{Labels: m.labels(), Annotations: annotations}, "spec": pod}
}

// pod runs a command of ofn. dir is where it may write; what is there comes from the volume of that name.
func (m *maker) pod(args []string, dir string, volumes ...corev1.Volume) corev1.PodSpec {
	c := corev1.Container{
		Name: "events", Image: m.engine.o.Image, Args: args,
		Env:            []corev1.EnvVar{{Name: EnvMemoryLimit, ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}}},
		Ports:          []corev1.ContainerPort{{Name: "metrics", ContainerPort: PortMetrics, Protocol: corev1.ProtocolTCP}},
		LivenessProbe:  probe("/healthz", 10, 6),
		ReadinessProbe: probe("/readyz", 2, 3),
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError, // for the message about a crash
		VolumeMounts:             []corev1.VolumeMount{{Name: "plan", MountPath: planDir, ReadOnly: true}, {Name: dir[1:], MountPath: dir}},
	}
	return corev1.PodSpec{
		Containers: []corev1.Container{c}, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
		TerminationGracePeriodSeconds: new(int64(30)),
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(user)), RunAsGroup: new(int64(user)), FSGroup: new(int64(user)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Volumes: append([]corev1.Volume{{Name: "plan", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: m.name()}}}}, volumes...),
	}
}

func scratch(dir string) corev1.Volume {
	return corev1.Volume{Name: dir[1:], VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("metrics")}},
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 2}
}

// handler is the Deployment of a part that reads a Plan.
type handler struct {
	hash     string
	replicas int  // negative: somebody else's matter
	several  bool // copies may work side by side
	account  string
	http     bool
}

// deployment runs a Plan.
func (m *maker) deployment(h handler) object {
	listens := []string{"--address="}
	if h.http {
		listens = []string{fmt.Sprintf("--address=:%d", PortHTTP), "--linger=3s"}
	}
	pod := m.pod(append([]string{"event-handler", "--plan=" + planDir + "/" + PlanFile, "--state-dir=" + stateDir, "--log-format=json"}, listens...), stateDir, scratch(stateDir))
	if h.account != "" {
		pod.ServiceAccountName, pod.AutomountServiceAccountToken = h.account, new(true)
	}
	if h.http {
		c := &pod.Containers[0]
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: "http", ContainerPort: PortHTTP, Protocol: corev1.ProtocolTCP})
	}
	strategy := map[string]any{"type": "Recreate"}
	if h.several {
		strategy = map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxUnavailable": 0, "maxSurge": 1}}
	}
	spec := map[string]any{
		"selector": map[string]any{"matchLabels": map[string]string{LabelEvents: identity(m.ref)}},
		"strategy": strategy, "revisionHistoryLimit": 2,
		"template": m.template(map[string]string{annotationPlan: h.hash}, pod),
	}
	if h.replicas >= 0 {
		spec["replicas"] = h.replicas
	}
	return m.object("apps/v1", "Deployment", spec)
}

// merged is a with b over it.
func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, b)
	return out
}
