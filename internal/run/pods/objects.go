package pods

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// What the operator and the gateway write on the objects between them.
const (
	// LabelEngine is on everything of this engine, pods included.
	LabelEngine = "openfunction.io/engine"
	engineName  = v1beta2.EnginePods
	// annotationReachable is "true" on the PodTemplates of revisions that get requests, by the operator.
	annotationReachable = "openfunction.io/reachable"
	// annotationShares has the shares of a Service's requests in JSON, by the operator.
	annotationShares = "openfunction.io/shares"
	// annotationStanding has how a revision stands in JSON, by the gateway.
	annotationStanding = "openfunction.io/standing"
)

// Selector selects everything of this engine.
func Selector() map[string]string { return map[string]string{LabelEngine: engineName} }

// object is what is applied of an object: no status, and no empty times.
type object struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metadata       `json:"metadata"`
	Template        map[string]any `json:"template,omitempty"`
	Spec            map[string]any `json:"spec,omitempty"`
}

type metadata = drift.Metadata

// templateOf is the record of a revision.
func templateOf(s *cluster.Service, r *cluster.Revision) object {
	labels := maps.Clone(r.Labels)
	maps.Copy(labels, Selector())
	about := maps.Clone(r.Annotations)
	if about == nil {
		about = map[string]string{}
	}
	about[annotationReachable] = strconv.FormatBool(reachable(s, r.Name))
	if d := r.StartTimeout; d > 0 {
		about[annotationDeadline] = d.String()
	}
	return object{TypeMeta: typeOf("PodTemplate"),
		Metadata: metadata{Namespace: s.Namespace, Name: r.Name, Labels: labels, Annotations: about, Owners: []metav1.OwnerReference{s.Owner}},
		Template: map[string]any{"metadata": metadata{Labels: labels, Annotations: r.Annotations}, "spec": podOf(s, r)}}
}

func typeOf(kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: "v1", Kind: kind} }

func reachable(s *cluster.Service, revision string) bool {
	return slices.ContainsFunc(shares(s), func(t cluster.Share) bool { return t.Revision == revision })
}

// podOf is the pod of a copy. What the runtime contract of Knative promises in the environment is there, and nothing overrides it.
// A copy that ends is not started again in place: the gateway counts and replaces it.
func podOf(s *cluster.Service, r *cluster.Revision) corev1.PodSpec {
	pod := *r.Pod.DeepCopy()
	pod.RestartPolicy = corev1.RestartPolicyNever
	if pod.EnableServiceLinks == nil {
		pod.EnableServiceLinks = new(false)
	}
	c := container(&pod)
	if c.TerminationMessagePolicy == "" {
		c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError // for the message about a crash
	}
	contract := []corev1.EnvVar{{Name: "PORT", Value: strconv.Itoa(int(c.Ports[0].ContainerPort))},
		{Name: "K_SERVICE", Value: s.Name}, {Name: "K_CONFIGURATION", Value: s.Name}, {Name: "K_REVISION", Value: r.Name}}
	c.Env = slices.DeleteFunc(c.Env, func(e corev1.EnvVar) bool {
		return slices.ContainsFunc(contract, func(own corev1.EnvVar) bool { return own.Name == e.Name })
	})
	c.Env = append(c.Env, contract...)
	if !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "POD_NAME" }) { // OpenFunction's frameworks do not start without it
		c.Env = append(c.Env, corev1.EnvVar{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}})
	}
	return pod
}

// container is the function's own; a pod always has it.
func container(pod *corev1.PodSpec) *corev1.Container {
	i := slices.IndexFunc(pod.Containers, func(c corev1.Container) bool { return c.Name == v1beta2.FunctionContainer })
	return &pod.Containers[max(i, 0)]
}

// shares are those of the requests; without any the newest revision has all.
func shares(s *cluster.Service) []cluster.Share {
	if len(s.Traffic) == 0 {
		return []cluster.Share{{Revision: s.Newest().Name, Percent: 100}}
	}
	return s.Traffic
}

func tagged(tag, name string) string { return tag + "-" + name }

// tags are the names of the tags' own Services.
func tags(s *cluster.Service) []string {
	var out []string
	for _, t := range s.Traffic {
		if t.Tag != "" {
			out = append(out, tagged(t.Tag, s.Name))
		}
	}
	return out
}

// service is one of the function's names. It is an alias of the gateway's: endpoints of its own would have to be written anew for
// each function when a gateway moves.
func (e *Engine) service(s *cluster.Service, name string) (object, error) {
	of := shares(s)
	if name != s.Name {
		i := slices.IndexFunc(of, func(t cluster.Share) bool { return tagged(t.Tag, s.Name) == name })
		of = []cluster.Share{{Revision: of[i].Revision, Percent: 100}}
	}
	about, err := json.Marshal(recorded(of))
	if err != nil {
		return object{}, fmt.Errorf("encoding the shares of %s: %w", name, err)
	}
	labels := map[string]string{v1beta2.LabelFunction: s.Name, v1beta2.LabelManaged: "true"}
	maps.Copy(labels, Selector())
	return object{TypeMeta: typeOf("Service"),
		Metadata: metadata{Namespace: s.Namespace, Name: name, Labels: labels, Annotations: map[string]string{annotationShares: string(about)}, Owners: []metav1.OwnerReference{s.Owner}},
		Spec: map[string]any{"type": "ExternalName", "externalName": e.host(e.options.GatewayName, e.options.GatewayNamespace), "sessionAffinity": "None",
			"ports": []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}}}, nil
}

// share is one of annotationShares.
type share struct {
	Revision string `json:"revision"`
	Percent  int64  `json:"percent"`
}

func recorded(of []cluster.Share) []share {
	var out []share
	for _, t := range of {
		if t.Percent > 0 {
			out = append(out, share{t.Revision, t.Percent})
		}
	}
	return out
}
