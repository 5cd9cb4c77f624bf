package pod

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Options say what the pods of builds are made of.
type Options struct {
	// Image holds ofn, git and the tools of the languages; Images those of single languages, by the names of Languages.
	Image  string
	Images map[string]string
	// Insecure are registry hosts that are spoken to without TLS.
	Insecure []string
	// Env is added to the environment of the program, "KEY=value", as for a proxy.
	Env []string
}

// CachesDir is where a builder image may have what all builds compile.
const CachesDir = "/usr/local/share/ofn"

const (
	container = "build" // of the program
	workDir   = "/ofn/work"
	// user is the one of the program in the pod, who is nobody special.
	user = 65532
)

// Part is one container of a build: all of it, or the fetching of the source alone.
type Part struct {
	// Outcome is the file where the program leaves its Outcome.
	Outcome string
	// FetchInto, when set, is where the source goes, and all that is done.
	FetchInto string
}

// Container runs ofn's own build of a Builder.
func (o Options) Container(b *v1beta2.Builder, p Part) (corev1.Container, error) {
	r, err := requestOf(b, o)
	if err != nil {
		return corev1.Container{}, err
	}
	text, err := r.Encode()
	if err != nil {
		return corev1.Container{}, err
	}
	image := o.Image
	if own := o.Images[language(b)]; own != "" {
		image = own
	}
	args := []string{"--dir", workDir, "--secrets", SecretsDir, "--outcome", p.Outcome}
	if p.FetchInto != "" {
		args = append(args, "--fetch-into", p.FetchInto)
	}
	c := corev1.Container{Name: container, Image: image, Command: []string{"ofn", "build-step"}, Args: args,
		Env:             []corev1.EnvVar{{Name: EnvRequest, Value: text}, {Name: "HOME", Value: workDir}, {Name: "TMPDIR", Value: "/tmp"}},
		VolumeMounts:    []corev1.VolumeMount{{Name: "work", MountPath: workDir}, {Name: "tmp", MountPath: "/tmp"}},
		SecurityContext: restricted(), Resources: least(),
	}
	for _, e := range o.Env {
		name, value, _ := strings.Cut(e, "=")
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: strings.ReplaceAll(value, "$", "$$")})
	}
	for _, what := range slices.Sorted(maps.Keys(r.Secrets)) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "secret-" + what, MountPath: path.Join(SecretsDir, what), ReadOnly: true})
	}
	return c, nil
}

// least is what a build has for itself: without any it would get no processor time on a busy node. What it may have at most is for a
// LimitRange to say.
func least() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("256Mi")}}
}

// Volumes are those that Container mounts. Secrets are optional: the program says which one is not there, where the kubelet would
// only wait.
func Volumes(b *v1beta2.Builder) []corev1.Volume {
	named := secrets(b)
	out := []corev1.Volume{empty("work"), empty("tmp")}
	for _, what := range slices.Sorted(maps.Keys(named)) {
		out = append(out, corev1.Volume{Name: "secret-" + what, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: named[what], Optional: new(true)}}})
	}
	return out
}

func empty(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
}

// PullSecrets are those that may pull the image of the pod.
func PullSecrets(b *v1beta2.Builder) []corev1.LocalObjectReference {
	if name := secrets(b)[SecretBuilder]; name != "" {
		return []corev1.LocalObjectReference{{Name: name}}
	}
	return nil
}

// Security is what the profile "restricted" of Kubernetes' pod security standards asks of a pod.
func Security() *corev1.PodSecurityContext {
	return &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(user)), RunAsGroup: new(int64(user)), FSGroup: new(int64(user)),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
}

// restricted is what it asks of a container; the pod is what isolates the build.
func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
}

// Metadata is what the object of an engine for a Builder has: its name, its labels and its owner.
func Metadata(b *v1beta2.Builder) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name, Labels: Labels(b),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(b, v1beta2.GroupVersion.WithKind("Builder"))}}
}

// Labels are those of everything that is made for a Builder.
func Labels(b *v1beta2.Builder) map[string]string {
	out := map[string]string{v1beta2.LabelBuilder: b.Name}
	if fn := b.Labels[v1beta2.LabelFunction]; fn != "" {
		out[v1beta2.LabelFunction] = fn
	}
	return out
}

// Trouble is why a pod cannot start, as a reason and a message; both are empty while nothing is wrong.
func Trouble(p *corev1.Pod) (reason, message string) {
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return w.Reason, fmt.Sprintf("the pod %s of the build cannot start: %s", p.Name, w.Message)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason, fmt.Sprintf("the pod %s of the build has no node yet: %s", p.Name, c.Message)
		}
	}
	return "", ""
}

// Ended is the outcome of the program in a pod, or how the pod ended without one. It is false while the pod runs.
func Ended(p *corev1.Pod) (Outcome, bool) {
	for _, s := range p.Status.ContainerStatuses {
		t := s.State.Terminated
		if s.Name != container || t == nil {
			continue
		}
		if o, ok := ParseOutcome(t.Message); ok {
			return o, true
		}
		if t.Reason == "OOMKilled" {
			return Outcome{Reason: "OutOfMemory", Message: "the build needed more memory than its pod may have and was stopped: raise the limit (a LimitRange of the namespace), or make the package smaller"}, true
		}
		if p.Status.Reason == "" {
			return Outcome{Reason: ReasonError, Message: fmt.Sprintf("the pod %s of the build ended with code %d (%s) and said nothing: see its log with kubectl logs -n %s %s",
				p.Name, t.ExitCode, t.Reason, p.Namespace, p.Name)}, true
		}
	}
	if p.Status.Phase == corev1.PodFailed {
		return Outcome{Reason: p.Status.Reason, Message: fmt.Sprintf("the pod %s of the build failed: %s", p.Name, p.Status.Message)}.named(), true
	}
	return Outcome{}, false
}

// named gives an outcome that failed a reason.
func (o Outcome) named() Outcome {
	if o.Reason == "" {
		o.Reason = ReasonError
	}
	return o
}
