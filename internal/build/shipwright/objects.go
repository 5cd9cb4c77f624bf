package shipwright

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
)

// Parameters of strategies that fields of a Builder stand for.
const (
	paramBuilder    = "builder-image"
	paramDockerfile = "dockerfile"
	// paramEnv is a list of NAME=value, and the one to declare in a new strategy whose build reads no process environment.
	paramEnv = "ENV"
	// paramOldEnv is OpenFunction's: NAME=value joined with "#".
	paramOldEnv = "ENV_VARS"
)

type metadata struct {
	Namespace string                  `json:"namespace"`
	Name      string                  `json:"name"`
	Labels    map[string]string       `json:"labels,omitempty"`
	Owners    []metav1.OwnerReference `json:"ownerReferences"`
}

type object[T any] struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       T        `json:"spec"`
}

type buildSpec struct {
	Source   source      `json:"source"`
	Strategy strategyRef `json:"strategy"`
	Params   []param     `json:"paramValues,omitempty"`
	Env      []envVar    `json:"env,omitempty"`
	Output   output      `json:"output"`
	Timeout  string      `json:"timeout,omitempty"`
}

type source struct {
	Type       string       `json:"type"`
	Git        *git         `json:"git,omitempty"`
	OCI        *ociArtifact `json:"ociArtifact,omitempty"`
	ContextDir string       `json:"contextDir,omitempty"`
}

type git struct {
	URL         string `json:"url"`
	Revision    string `json:"revision,omitempty"`
	CloneSecret string `json:"cloneSecret,omitempty"`
}

type ociArtifact struct {
	Image      string `json:"image"`
	PullSecret string `json:"pullSecret,omitempty"`
}

type strategyRef struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

type envVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type output struct {
	Image      string `json:"image"`
	PushSecret string `json:"pushSecret,omitempty"`
	Insecure   bool   `json:"insecure,omitempty"`
}

type single struct {
	Value     *string   `json:"value,omitempty"`
	ConfigMap *valueRef `json:"configMapValue,omitempty"`
	Secret    *valueRef `json:"secretValue,omitempty"`
}

type valueRef struct {
	Name   string  `json:"name"`
	Key    string  `json:"key"`
	Format *string `json:"format,omitempty"`
}

type param struct {
	Name string `json:"name"`
	single
	Values []single `json:"values,omitempty"`
}

type runSpec struct {
	Build          map[string]string `json:"build"`
	ServiceAccount string            `json:"serviceAccount,omitempty"`
	State          string            `json:"state,omitempty"`
}

func meta(b *v1beta2.Builder) metadata {
	labels := maps.Clone(b.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1beta2.LabelBuilder] = b.Name
	return metadata{Namespace: b.Namespace, Name: b.Name, Labels: labels,
		Owners: []metav1.OwnerReference{*metav1.NewControllerRef(b, v1beta2.GroupVersion.WithKind("Builder"))}}
}

// runOf runs the Build once, as a service account of its own that Shipwright makes and removes.
func runOf(b *v1beta2.Builder, cancelled bool) object[runSpec] {
	r := object[runSpec]{APIVersion: Group + "/" + Version, Kind: "BuildRun", Metadata: meta(b),
		Spec: runSpec{Build: map[string]string{"name": b.Name}, ServiceAccount: ".generate"}}
	if cancelled {
		r.Spec.State = "BuildRunCanceled"
	}
	return r
}

// buildOf is the Build, for a strategy that declares these parameters. It sets no retention: the Builder's history is the one that
// counts, and Shipwright would want to control the BuildRun, which the Builder does.
func (e *Engine) buildOf(b *v1beta2.Builder, declared map[string]string) (object[buildSpec], error) {
	kind, name := strategyName(b)
	out := object[buildSpec]{APIVersion: Group + "/" + Version, Kind: "Build", Metadata: meta(b)}
	s := &out.Spec
	s.Strategy = strategyRef{Kind: kind, Name: name}
	s.Output = output{Image: b.Spec.Image, Insecure: e.plain(b.Spec.Image)}
	if c := b.Spec.ImageCredentials; c != nil {
		s.Output.PushSecret = c.Name
	}
	if t := b.Spec.Timeout; t != nil && t.Duration > 0 {
		s.Timeout = t.Duration.String()
	}
	var err error
	if s.Source, err = sourceOf(b.Spec.SrcRepo); err != nil {
		return out, err
	}
	for _, name := range slices.Sorted(maps.Keys(b.Spec.Env)) {
		s.Env = append(s.Env, envVar{name, b.Spec.Env[name]})
	}
	s.Params, err = params(b, declared, name)
	return out, err
}

// plain is whether the registry of an image is spoken to without TLS.
func (e *Engine) plain(image string) bool {
	host, _, _ := strings.Cut(image, "/")
	return slices.Contains(e.insecure, host)
}

func sourceOf(repo *v1beta2.SourceRepo) (source, error) {
	if repo == nil {
		return source{}, &build.Failure{Reason: "SourceMissing", Message: "build.srcRepo is missing: give the url of a git repository or a bundleContainer"}
	}
	var out source
	secret := ""
	if repo.Credentials != nil {
		secret = repo.Credentials.Name
	}
	if repo.SourceSubPath != nil {
		out.ContextDir = *repo.SourceSubPath
	}
	if c := repo.BundleContainer; c != nil && c.Image != "" {
		out.Type, out.OCI = "OCI", &ociArtifact{Image: c.Image, PullSecret: secret}
		return out, nil
	}
	out.Type, out.Git = "Git", &git{URL: repo.URL, CloneSecret: secret}
	if repo.Revision != nil {
		out.Git.Revision = *repo.Revision
	}
	return out, nil
}

// params are the user's, and those that fields of the Builder stand for. One that the strategy does not declare would make
// Shipwright refuse the run.
func params(b *v1beta2.Builder, declared map[string]string, strategy string) ([]param, error) {
	var out []param
	if s := b.Spec.Shipwright; s != nil {
		for _, p := range s.Params {
			if p == nil {
				continue
			}
			made := param{Name: p.Name, single: one(p.SingleValue)}
			for _, v := range p.Values {
				made.Values = append(made.Values, one(v))
			}
			out = append(out, made)
		}
	}
	given := func(name string) bool { return slices.ContainsFunc(out, func(p param) bool { return p.Name == name }) }
	for _, f := range []struct {
		field, name string
		value       *string
	}{{"build.builder", paramBuilder, b.Spec.Builder}, {"build.dockerfile", paramDockerfile, b.Spec.Dockerfile}} {
		if f.value == nil || *f.value == "" || given(f.name) {
			continue
		}
		if declared[f.name] == "" {
			return nil, &build.Failure{Reason: "UndefinedParameter", Message: fmt.Sprintf(
				"%s is given, but the build strategy %q has no parameter %q for it: leave it out or choose another strategy", f.field, strategy, f.name)}
		}
		out = append(out, param{Name: f.name, single: single{Value: f.value}})
	}
	env, err := envParam(b.Spec.Env, declared, strategy)
	if err == nil && env != nil && !given(env.Name) {
		out = append(out, *env)
	}
	for _, p := range out {
		if declared[p.Name] == "" {
			return nil, &build.Failure{Reason: "UndefinedParameter", Message: fmt.Sprintf("the build strategy %q has no parameter %q; it has %s",
				strategy, p.Name, strings.Join(slices.Sorted(maps.Keys(declared)), ", "))}
		}
	}
	return out, err
}

// envParam gives the environment to strategies whose tools do not read that of their process, as buildpacks do not. The steps have it
// as their environment all the same.
func envParam(env, declared map[string]string, strategy string) (*param, error) {
	if len(env) == 0 || declared[paramEnv] == "" && declared[paramOldEnv] == "" {
		return nil, nil
	}
	p := &param{Name: paramEnv}
	var joined []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		line := name + "=" + env[name]
		p.Values = append(p.Values, single{Value: &line})
		joined = append(joined, line)
		if declared[paramEnv] == "" && strings.ContainsAny(line, "#\n") {
			return nil, &build.Failure{Reason: "EnvUnsupported", Message: fmt.Sprintf(
				"build.env.%s holds \"#\" or a line break, which parameter %s of the build strategy %q cannot carry: add a parameter %s of type array to the strategy", name, paramOldEnv, strategy, paramEnv)}
		}
	}
	if declared[paramEnv] == "array" {
		return p, nil
	}
	text := strings.Join(joined, "#")
	return &param{Name: paramOldEnv, single: single{Value: &text}}, nil
}

func one(v v1beta2.SingleValue) single {
	ref := func(r *v1beta2.ObjectKeyRef) *valueRef {
		if r == nil {
			return nil
		}
		return &valueRef{Name: r.Name, Key: r.Key, Format: r.Format}
	}
	out := single{ConfigMap: ref(v.ConfigMapValue), Secret: ref(v.SecretValue)}
	if out.ConfigMap == nil && out.Secret == nil {
		out.Value = v.Value
	}
	return out
}

// strategy is what parameters the Builder's strategy declares, by their type. The progress says when there is no such strategy.
func (e *Engine) strategy(ctx context.Context, b *v1beta2.Builder) (map[string]string, build.Progress, error) {
	kind, name := strategyName(b)
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: Group, Version: Version, Kind: kind})
	key := client.ObjectKey{Name: name}
	if kind == v1beta2.NamespacedBuildStrategy {
		key.Namespace = b.Namespace
	}
	if err := e.client.Get(ctx, key, u); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, missingStrategy(kind, name), nil
		}
		return nil, build.Progress{}, fmt.Errorf("reading %s %s: %w", kind, name, err)
	}
	var said struct {
		Spec struct {
			Parameters []struct{ Name, Type string }
		}
	}
	if err := decode(u, &said); err != nil {
		return nil, build.Progress{}, err
	}
	declared := map[string]string{}
	for _, p := range said.Spec.Parameters {
		if p.Type == "" {
			p.Type = "string"
		}
		declared[p.Name] = p.Type
	}
	return declared, build.Progress{}, nil
}

func decode(o *unstructured.Unstructured, into any) error {
	data, err := o.MarshalJSON()
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}
