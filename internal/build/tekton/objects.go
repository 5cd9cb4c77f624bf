package tekton

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/pod"
)

// Results of a TaskRun.
const (
	resultOutcome = "outcome" // a pod.Outcome
	resultDigest  = "digest"  // of the image of a Dockerfile
)

// grace lets the program say itself that the time is over, which it does better than Tekton.
const grace = 30 * time.Second

type metadata struct {
	Namespace string                  `json:"namespace"`
	Name      string                  `json:"name"`
	Labels    map[string]string       `json:"labels"`
	Owners    []metav1.OwnerReference `json:"ownerReferences"`
}

type taskRun struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       runSpec  `json:"spec"`
}

type runSpec struct {
	TaskSpec    taskSpec    `json:"taskSpec"`
	PodTemplate podTemplate `json:"podTemplate"`
	Timeout     string      `json:"timeout,omitempty"`
}

type podTemplate struct {
	SecurityContext  *corev1.PodSecurityContext    `json:"securityContext"`
	Automount        bool                          `json:"automountServiceAccountToken"`
	ServiceLinks     bool                          `json:"enableServiceLinks"`
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
}

type taskSpec struct {
	Results []result        `json:"results"`
	Steps   []step          `json:"steps"`
	Volumes []corev1.Volume `json:"volumes"`
}

type result struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type step struct {
	Name            string                  `json:"name"`
	Image           string                  `json:"image"`
	Command         []string                `json:"command,omitempty"`
	Args            []string                `json:"args,omitempty"`
	Script          string                  `json:"script,omitempty"`
	Env             []corev1.EnvVar         `json:"env,omitempty"`
	VolumeMounts    []corev1.VolumeMount    `json:"volumeMounts,omitempty"`
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`
	// Resources is called so in v1.
	Resources corev1.ResourceRequirements `json:"computeResources,omitzero"`
}

func (e *Engine) runOf(b *v1beta2.Builder) (taskRun, error) {
	m := pod.Metadata(b)
	out := taskRun{APIVersion: Group + "/" + Version, Kind: "TaskRun",
		Metadata: metadata{Namespace: m.Namespace, Name: m.Name, Labels: m.Labels, Owners: m.OwnerReferences}}
	out.Spec.PodTemplate = podTemplate{SecurityContext: pod.Security(), ImagePullSecrets: pod.PullSecrets(b)}
	if t := b.Spec.Timeout; t != nil && t.Duration > 0 {
		out.Spec.Timeout = (t.Duration + grace).String()
	}
	steps := e.native
	if byDockerfile(b) {
		steps = e.dockerfile
	}
	made, err := steps(b)
	out.Spec.TaskSpec = taskSpec{Steps: made, Volumes: pod.Volumes(b), Results: []result{{resultOutcome, "string"}}}
	if byDockerfile(b) {
		out.Spec.TaskSpec.Results = append(out.Spec.TaskSpec.Results, result{resultDigest, "string"})
	}
	return out, err
}

// byDockerfile is whether a Dockerfile says how to build, as it does where no builder is named.
func byDockerfile(b *v1beta2.Builder) bool {
	return b.Spec.Dockerfile != nil && *b.Spec.Dockerfile != "" && (b.Spec.Builder == nil || *b.Spec.Builder == "")
}

func resultPath(name string) string { return "$(results." + name + ".path)" }

// native is ofn's own build in one step: source, tools and registry are one program's.
func (e *Engine) native(b *v1beta2.Builder) ([]step, error) {
	c, err := e.options.Pod.Container(b, pod.Part{Outcome: resultPath(resultOutcome)})
	return []step{stepOf(c)}, err
}

func stepOf(c corev1.Container) step {
	return step{Name: c.Name, Image: c.Image, Command: c.Command, Args: c.Args, Env: c.Env, VolumeMounts: c.VolumeMounts, SecurityContext: c.SecurityContext, Resources: c.Resources}
}

const (
	// sourceDir is where the fetched source is, on a volume that the steps share.
	sourceDir = "/ofn/work/source"
	// buildScript builds and pushes with buildah. Everything of the user's comes by variables, which no shell reads as its own words;
	// the arguments are options without values.
	buildScript = `#!/bin/sh
set -eu
if [ -f "$OFN_AUTH" ]; then export REGISTRY_AUTH_FILE="$OFN_AUTH"; fi
buildah --storage-driver=vfs build --isolation=chroot --tls-verify="$OFN_TLS" --file "$OFN_DOCKERFILE" --tag "$OFN_IMAGE" "$@" "$OFN_CONTEXT"
buildah --storage-driver=vfs push --tls-verify="$OFN_TLS" --digestfile /tmp/digest "$OFN_IMAGE"
cat /tmp/digest > "$OFN_DIGEST"
`
)

// dockerfile fetches the source with ofn and builds with buildah, as root in a container of few rights.
func (e *Engine) dockerfile(b *v1beta2.Builder) ([]step, error) {
	fetch, err := e.options.Pod.Container(b, pod.Part{Outcome: resultPath(resultOutcome), FetchInto: sourceDir})
	if err != nil {
		return nil, err
	}
	fetch.Name = "fetch"
	sub := ""
	if repo := b.Spec.SrcRepo; repo.SourceSubPath != nil {
		sub = *repo.SourceSubPath
	}
	within := path.Join(sourceDir, path.Join("/", sub))
	var args []string
	var env []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(b.Spec.Env)) {
		if strings.Contains(b.Spec.Env[name], "$(") {
			return nil, &build.Failure{Reason: "EnvUnsupported", Message: fmt.Sprintf("build.env.%s holds \"$(\", which Tekton takes for a variable of its own: leave it out", name)}
		}
		args = append(args, "--build-arg", name)
		env = append(env, corev1.EnvVar{Name: name, Value: strings.ReplaceAll(b.Spec.Env[name], "$", "$$")})
	}
	env = append(env, []corev1.EnvVar{ // of two the last counts
		{Name: "OFN_AUTH", Value: path.Join(pod.SecretsDir, pod.SecretPush, corev1.DockerConfigJsonKey)},
		{Name: "OFN_CONTEXT", Value: within}, {Name: "OFN_DOCKERFILE", Value: path.Join(within, path.Join("/", *b.Spec.Dockerfile))},
		{Name: "OFN_DIGEST", Value: resultPath(resultDigest)}, {Name: "OFN_IMAGE", Value: b.Spec.Image}, {Name: "OFN_TLS", Value: e.secure(b.Spec.Image)},
		{Name: "HOME", Value: "/ofn/work"},
	}...)
	return []step{stepOf(fetch), {Name: "build", Image: e.options.Dockerfile, Script: buildScript, Args: args, Env: env, VolumeMounts: fetch.VolumeMounts, SecurityContext: root(), Resources: fetch.Resources}}, nil
}

// secure is whether the registry of an image is spoken to with TLS, as an option of buildah.
func (e *Engine) secure(image string) string {
	host, _, _ := strings.Cut(image, "/")
	return fmt.Sprint(!slices.Contains(e.options.Pod.Insecure, host))
}

// root is what buildah needs: to be root of its container, to unpack files of all owners and to give them capabilities.
func root() *corev1.SecurityContext {
	return &corev1.SecurityContext{RunAsUser: new(int64(0)), RunAsGroup: new(int64(0)), RunAsNonRoot: new(false), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SETFCAP"}}}
}
