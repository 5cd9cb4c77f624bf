package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openfunction/ofn/internal/instance/drivers/pods"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/holder"
)

// user is that of warm pods; images must not expect another.
const user = 65532

// Folder is where holders put their programs.
const Folder = "/program"

// Rooms are the folders that warm pods can write files of a function to: where ofn's builds have its source and what they made of it, and
// where temporary files are.
func Rooms() []string { return []string{"/app", "/workspace", tmp} }

const tmp = "/tmp"

func named(key types.NamespacedName) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
}

// podOf is a new warm pod, by the restricted profile of the pod security standards.
func (p *Pool) podOf(w *pod) *corev1.Pod {
	o := named(w.key)
	o.Labels = p.labels()
	image, dirs := p.opt.Image, []string{Folder, tmp}
	if w.kind != "" {
		image, dirs = p.opt.Kinds[w.kind], Rooms()
	}
	c := corev1.Container{
		Name: p.opt.Container, Image: image, Command: append(slices.Clone(p.opt.Command), holder.Hash(w.token)), Resources: p.opt.Resources,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
	}
	o.Spec = corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(user)), RunAsGroup: new(int64(user)), FSGroup: new(int64(user)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
	}
	for _, dir := range dirs {
		name := strings.TrimPrefix(dir, "/")
		o.Spec.Volumes = append(o.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: dir})
	}
	o.Spec.Containers = []corev1.Container{c}
	return o
}

// patchOf makes a warm pod one of a revision.
func patchOf(t *corev1.PodTemplate) ([]byte, error) {
	o := &corev1.Pod{}
	pods.Own(o, t)
	labels := map[string]any{Label: nil}
	for k, v := range o.Labels {
		labels[k] = v
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels, "annotations": o.Annotations, "ownerReferences": o.OwnerReferences}})
}

func imageOf(t *corev1.PodTemplate, container string) string {
	for _, c := range t.Template.Spec.Containers {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}

// usualPath is what runtimes of containers set where an image says nothing.
const usualPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// orderOf is how a program runs as a copy of a revision.
func orderOf(t *corev1.PodTemplate, program *Program, name, container string) holder.Order {
	o := holder.Order{Args: slices.Clone(program.Args), Dir: program.Dir, Drop: program.Drop, Files: program.Kind != ""}
	o.Env = append(o.Env, "HOME=/tmp")
	if o.Files {
		o.Env = append(o.Env, usualPath)
	}
	o.Env = append(o.Env, program.Env...)
	o.Env = append(o.Env, "POD_NAME="+name)
	for _, c := range t.Template.Spec.Containers {
		if c.Name != container {
			continue
		}
		if len(c.Args) > 0 {
			o.Args = append(o.Args[:1], c.Args...)
		}
		if c.WorkingDir != "" {
			o.Dir = c.WorkingDir
		}
		for _, e := range c.Env {
			if e.ValueFrom == nil {
				o.Env = append(o.Env, e.Name+"="+e.Value)
			}
		}
	}
	return o
}

// suitable says what of a template a warm pod could not give it; nil is nothing. The list is of what is allowed, so that what
// Kubernetes learns later is not overlooked.
func suitable(spec *corev1.PodSpec, container string, own corev1.ResourceRequirements, resize bool) error {
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		return errors.New("it uses the token of a service account")
	}
	if len(spec.Containers) != 1 || spec.Containers[0].Name != container {
		return errors.New("it has other containers")
	}
	rest := spec.DeepCopy()
	c := rest.Containers[0]
	rest.Containers, rest.AutomountServiceAccountToken, rest.EnableServiceLinks = nil, nil, nil
	rest.ImagePullSecrets = nil // the gateway pulls
	rest.RestartPolicy, rest.TerminationGracePeriodSeconds, rest.SecurityContext = "", nil, plain(rest.SecurityContext)
	rest.DNSPolicy, rest.SchedulerName = usual(rest.DNSPolicy, corev1.DNSClusterFirst), usual(rest.SchedulerName, corev1.DefaultSchedulerName)
	if left, err := json.Marshal(rest); err != nil || string(left) != `{"containers":null}` {
		return fmt.Errorf("its pod has more than warm pods have: %s", left)
	}
	if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil && e.Name != "POD_NAME" }) {
		return errors.New("its environment has values from elsewhere")
	}
	if _, ok := grown(own, c.Resources); !ok || !resize && !empty(c.Resources) {
		return errors.New("it has resources that a pod cannot be given while it runs")
	}
	c.Resources = corev1.ResourceRequirements{}
	c.Name, c.Image, c.Env, c.Args, c.WorkingDir, c.Ports = "", "", nil, nil, "", nil
	c.ReadinessProbe, c.ImagePullPolicy, c.TerminationMessagePath, c.TerminationMessagePolicy = nil, "", "", ""
	c.SecurityContext = strict(c.SecurityContext)
	if left, err := json.Marshal(c); err != nil || string(left) != `{"name":"","resources":{}}` {
		return fmt.Errorf("its container has more than those of warm pods: %s", left)
	}
	return nil
}

// usual is nothing for a default.
func usual[T ~string](v, standard T) T {
	if v == standard {
		return ""
	}
	return v
}

func usualUser(v *int64) *int64 {
	if v != nil && *v == user {
		return nil
	}
	return v
}

func usualProfile(v *corev1.SeccompProfile) *corev1.SeccompProfile {
	if v != nil && v.Type == corev1.SeccompProfileTypeRuntimeDefault {
		return nil
	}
	return v
}

// plain leaves out what warm pods have anyhow; nil is when nothing is left.
func plain(s *corev1.PodSecurityContext) *corev1.PodSecurityContext {
	if s == nil {
		return nil
	}
	s.RunAsNonRoot, s.RunAsUser, s.RunAsGroup, s.SeccompProfile = nil, usualUser(s.RunAsUser), usualUser(s.RunAsGroup), usualProfile(s.SeccompProfile)
	if left, err := json.Marshal(s); err != nil || string(left) != "{}" {
		return s
	}
	return nil
}

// strict is plain of a container. Rights that it does without are no matter.
func strict(s *corev1.SecurityContext) *corev1.SecurityContext {
	if s == nil {
		return nil
	}
	s.RunAsNonRoot, s.RunAsUser, s.RunAsGroup, s.SeccompProfile = nil, usualUser(s.RunAsUser), usualUser(s.RunAsGroup), usualProfile(s.SeccompProfile)
	s.AllowPrivilegeEscalation, s.ReadOnlyRootFilesystem = nil, nil
	if c := s.Capabilities; c != nil && len(c.Add) == 0 {
		s.Capabilities = nil
	}
	if left, err := json.Marshal(s); err != nil || string(left) != "{}" {
		return s
	}
	return nil
}
