// Package pod says how ofn's own build runs in a pod: what the program there is told, how the pod looks, and what the program tells
// when it ends. The engines job and tekton differ in who makes the pod.
package pod

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
)

// EnvRequest is the variable in which the program finds its Request.
const EnvRequest = "OFN_BUILD_REQUEST"

// maxRequest is what fits into one variable of a process, with some room: Linux takes 128 KiB.
const maxRequest = 120 << 10

// The secrets that a build may be given, each in a directory of its own below SecretsDir.
const (
	SecretSource  = "source"  // of the source
	SecretPush    = "push"    // of the registry of the image
	SecretBuilder = "builder" // of the builder image, which may hold logins for dependencies
	SecretsDir    = "/ofn/secrets"
)

// Request is one build, as the program in the pod is told.
type Request struct {
	ID       string            `json:"id"`
	Function string            `json:"function"`
	URL      string            `json:"url,omitempty"`
	Revision string            `json:"revision,omitempty"`
	Bundle   string            `json:"bundle,omitempty"`
	SubPath  string            `json:"subPath,omitempty"`
	Image    string            `json:"image"`
	Builder  string            `json:"builder,omitempty"`
	Target   string            `json:"target,omitempty"`
	Env      map[string]string `json:"env,omitempty"`
	// Timeout, in nanoseconds, is how long the build may take; 0 is the program's own limit.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Secrets are the names of those that there should be, by the Secret constants.
	Secrets map[string]string `json:"secrets,omitempty"`
	// Insecure are registry hosts that are spoken to without TLS.
	Insecure []string `json:"insecure,omitempty"`
}

// Encode is the request as text in which nothing looks like a reference to a variable: Kubernetes and Tekton both would fill in what
// stands between "$(" and ")".
func (r Request) Encode() (string, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encoding a build request: %w", err)
	}
	if len(data) > maxRequest {
		return "", &build.Failure{Reason: "EnvTooLarge", Message: fmt.Sprintf("build.env and the rest of the build take %d KiB, which is more than %d: put large values into files of the source",
			len(data)>>10, maxRequest>>10)}
	}
	return strings.ReplaceAll(string(data), "$", `\u0024`), nil
}

// Decode reads what Encode wrote.
func Decode(text string) (Request, error) {
	var r Request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("reading the build request: %w", err)
	}
	if r.Image == "" {
		return r, fmt.Errorf("reading the build request: it names no image")
	}
	return r, nil
}

// requestOf is what a Builder asks for.
func requestOf(b *v1beta2.Builder, o Options) (Request, error) {
	r := Request{ID: b.Namespace + "/" + b.Name, Function: b.Namespace + "/" + b.Labels[v1beta2.LabelFunction], Image: b.Spec.Image, Env: b.Spec.Env,
		Secrets: secrets(b), Insecure: o.Insecure}
	repo := b.Spec.SrcRepo
	if repo == nil {
		return r, &build.Failure{Reason: "SourceMissing", Message: "build.srcRepo is missing: give the url of a git repository or a bundleContainer"}
	}
	r.URL = repo.URL
	if repo.BundleContainer != nil {
		r.Bundle = repo.BundleContainer.Image
	}
	r.Revision, r.SubPath, r.Builder = value(repo.Revision), value(repo.SourceSubPath), value(b.Spec.Builder)
	if s := b.Spec.Shipwright; s != nil && s.Strategy != nil && s.Strategy.Name == v1beta2.WasmBuildStrategy {
		r.Target = build.TargetWasm
	}
	if t := b.Spec.Timeout; t != nil {
		r.Timeout = t.Duration
	}
	return r, nil
}

// secrets are the names of those that a Builder names.
func secrets(b *v1beta2.Builder) map[string]string {
	out := map[string]string{}
	if repo := b.Spec.SrcRepo; repo != nil && repo.Credentials != nil {
		out[SecretSource] = repo.Credentials.Name
	}
	if c := b.Spec.ImageCredentials; c != nil {
		out[SecretPush] = c.Name
	}
	if c := b.Spec.BuilderCredentials; c != nil {
		out[SecretBuilder] = c.Name
	}
	maps.DeleteFunc(out, func(_, name string) bool { return name == "" })
	return out
}

// Languages are those that may have an image of their own.
func Languages() []string { return slices.Sorted(maps.Keys(languages)) }

// languages are the names of FUNC_RUNTIME and of OpenFunction's builder images, without numbers.
var languages = map[string][]string{
	"go": {"golang"}, "node": {"nodejs", "javascript", "typescript"}, "python": nil, "java": {"jvm"}, "rust": nil,
}

// language is what the Builder says that its source is written in; empty when it leaves that to be found out.
func language(b *v1beta2.Builder) string {
	said := b.Spec.Env["FUNC_RUNTIME"]
	if said == "" {
		image, _, _ := strings.Cut(path.Base(value(b.Spec.Builder)), ":")
		said, _ = strings.CutPrefix(image, "builder-")
	}
	said = strings.TrimRight(strings.ToLower(said), "0123456789.")
	for name, also := range languages {
		if said == name || slices.Contains(also, said) {
			return name
		}
	}
	return ""
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
