package pods

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// annotationDeadline bounds a start, as Knative has it.
const annotationDeadline = "serving.knative.dev/progress-deadline"

// Share is what a revision gets of a Service's requests.
type Share struct {
	Revision string
	Percent  int
}

// Shares are those of a Service that the Engine made.
func Shares(s *corev1.Service) ([]Share, error) {
	var all []share
	if err := json.Unmarshal([]byte(s.Annotations[annotationShares]), &all); err != nil {
		return nil, fmt.Errorf("annotation %s of service %s/%s: %w", annotationShares, s.Namespace, s.Name, err)
	}
	out := make([]Share, len(all))
	for i, t := range all {
		out[i] = Share{t.Revision, int(t.Percent)}
	}
	return out, nil
}

// Revision is that of a PodTemplate that the Engine made.
func Revision(t *corev1.PodTemplate) (run.Revision, error) {
	pod := &t.Template.Spec
	c := container(pod)
	r := run.Revision{
		Key: run.Key{Namespace: t.Namespace, Name: t.Name}, Function: t.Labels[v1beta2.LabelFunction], Image: c.Image,
		Annotations: concerning(t.Annotations), Reachable: t.Annotations[annotationReachable] == "true", Proven: standing(t.Annotations).Phase == run.Ready,
	}
	if len(c.Ports) > 0 {
		r.Port, r.H2C = int(c.Ports[0].ContainerPort), c.Ports[0].Name == "h2c"
	}
	if g := pod.TerminationGracePeriodSeconds; g != nil {
		r.Grace = time.Duration(*g) * time.Second
	}
	if v := t.Annotations[annotationDeadline]; v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return r, fmt.Errorf("annotation %s: %w", annotationDeadline, err)
		}
		r.StartTimeout = d
	}
	r.Container.Probe = probeOf(c.ReadinessProbe, c)
	return r, nil
}

// concerning are the annotations that steer the scaler.
func concerning(all map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range all {
		if strings.HasPrefix(k, "autoscaling.knative.dev/") {
			out[k] = v
		}
	}
	return out
}

// probeOf is a readiness probe that can be put over the network; the kubelet puts all the same. Nil is a connection.
func probeOf(p *corev1.Probe, c *corev1.Container) *run.Probe {
	if p == nil || p.Exec != nil {
		return nil
	}
	seconds := func(n int32) time.Duration { return time.Duration(n) * time.Second }
	out := &run.Probe{InitialDelay: seconds(p.InitialDelaySeconds), Period: seconds(p.PeriodSeconds), Timeout: seconds(p.TimeoutSeconds),
		FailureThreshold: int(p.FailureThreshold), SuccessThreshold: int(p.SuccessThreshold)}
	switch {
	case p.HTTPGet != nil:
		out.HTTPPath, out.HTTPS, out.Port = p.HTTPGet.Path, p.HTTPGet.Scheme == corev1.URISchemeHTTPS, portOf(p.HTTPGet.Port, c)
		if out.HTTPPath == "" {
			out.HTTPPath = "/"
		}
		for _, h := range p.HTTPGet.HTTPHeaders {
			if out.HTTPHeaders == nil {
				out.HTTPHeaders = map[string]string{}
			}
			out.HTTPHeaders[h.Name] = h.Value
		}
	case p.GRPC != nil:
		out.GRPC, out.Port = true, int(p.GRPC.Port)
		if p.GRPC.Service != nil {
			out.GRPCService = *p.GRPC.Service
		}
	case p.TCPSocket != nil:
		out.Port = portOf(p.TCPSocket.Port, c)
	}
	return out
}

// portOf is a port by number or name; 0, that of the revision, is what nobody else has.
func portOf(said intstr.IntOrString, c *corev1.Container) int {
	for _, p := range c.Ports {
		if said.Type == intstr.String && p.Name == said.StrVal {
			return int(p.ContainerPort)
		}
	}
	return said.IntValue()
}

// record is annotationStanding.
type record struct {
	Phase    run.Phase `json:"phase"`
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
	Desired  int       `json:"desired,omitempty"`
	Ready    int       `json:"ready,omitempty"`
	Starting int       `json:"starting,omitempty"`
	Restarts int       `json:"restarts,omitempty"`
}

// mostMessage is how long a recorded message may be, in bytes: an object is not a log.
const mostMessage = 4096

// encode is a status as it is recorded.
func encode(s run.Status) (string, error) {
	r := record{s.Phase, s.Reason, s.Message, s.Desired, s.Ready, s.Starting, s.Restarts}
	if len(r.Message) > mostMessage {
		r.Message = r.Message[:mostMessage]
	}
	data, err := json.Marshal(r)
	return string(data), err
}

// standing is how a revision stands by its annotations. Nothing readable there is as much as nothing yet.
func standing(annotations map[string]string) run.Status {
	var r record
	if json.Unmarshal([]byte(annotations[annotationStanding]), &r) != nil || r.Phase == "" {
		return run.Status{Phase: run.Starting, Reason: "WaitingForGateway",
			Message: "the gateway has not taken up this revision yet; functions of the engine \"pods\" need `ofn gateway` on the cluster (config/gateway)"}
	}
	if r.Reason == "Forbidden" { // which quota or policy it was, the message says
		r.Reason = podstatus.Refusal(r.Message)
	}
	return run.Status{Phase: r.Phase, Reason: r.Reason, Message: r.Message, Desired: r.Desired, Ready: r.Ready, Starting: r.Starting, Restarts: r.Restarts}
}
