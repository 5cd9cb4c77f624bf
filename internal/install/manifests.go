// Package install puts ofn and the engines that it works with on a cluster, takes ofn away again, and says how it stands there.
package install

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Where the operator lives.
const (
	Namespace = "openfunction"
	Operator  = "ofn-operator"
	Gateway   = "ofn-gateway"
)

// The labels of what was installed.
const (
	partOfLabel    = "app.kubernetes.io/part-of"
	managedByLabel = "app.kubernetes.io/managed-by"
	versionLabel   = "app.kubernetes.io/version"
	nameLabel      = "app.kubernetes.io/name"
	componentLabel = "app.kubernetes.io/component"

	partOf  = "openfunction"
	gateway = "gateway" // the component
	// Manager is who applied an object, as a label and as the owner of its fields.
	Manager = "ofn-install"
)

// Manifests says how the operator is to be installed.
type Manifests struct {
	// Files are the kustomizations: those of the package config.
	Files fs.FS
	// Version of ofn, which becomes a label.
	Version string
	// Image of the operator.
	Image string
	// Scope is the only namespace whose functions it looks after; empty is all.
	Scope string
	// Gateway adds `ofn gateway`, behind which functions are called that no engine runs. An operator of one namespace is installed without.
	Gateway bool
	// Settings of the installation.
	Settings Settings
}

// Objects are all objects of an installation, in the order in which they are to be applied.
func (m Manifests) Objects() ([]*unstructured.Unstructured, error) {
	files, err := m.tree()
	if err != nil {
		return nil, err
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "install")
	if err != nil {
		return nil, fmt.Errorf("building the manifests: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, r := range built.Resources() {
		data, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", r.CurId(), err)
		}
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(data); err != nil {
			return nil, fmt.Errorf("reading %s: %w", r.CurId(), err)
		}
		out = append(out, o)
	}
	if out, err = m.Settings.lay(out); err != nil {
		return nil, err
	}
	for _, o := range out {
		o.SetLabels(m.labelled(o.GetLabels()))
	}
	sortObjects(out)
	return out, nil
}

// tree is the files, with a kustomization "install" that says what m does.
func (m Manifests) tree() (filesys.FileSystem, error) {
	files := filesys.MakeFsInMemory()
	err := fs.WalkDir(m.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(m.Files, name)
		if err != nil {
			return err
		}
		return files.WriteFile(name, data)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the manifests: %w", err)
	}
	resources := []any{"../default"}
	if m.Gateway && m.Scope == "" {
		resources = append(resources, "../gateway")
	}
	overlay := map[string]any{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}
	if m.Scope != "" {
		overlay["patches"], err = m.scoped()
		if err != nil {
			return nil, err
		}
	}
	if m.Image != "" {
		overlay["images"] = []any{image(m.Image)}
	}
	data, err := yaml.Marshal(overlay)
	if err != nil {
		return nil, fmt.Errorf("writing the kustomization: %w", err)
	}
	return files, files.WriteFile("install/kustomization.yaml", data)
}

// scopeExample is the namespace that namespaced is written for.
var scopeExample = regexp.MustCompile(`\bfunctions\b`)

// scoped are the patches of namespaced, for another namespace.
func (m Manifests) scoped() ([]any, error) {
	data, err := fs.ReadFile(m.Files, "namespaced/kustomization.yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the variant for one namespace: %w", err)
	}
	var k struct{ Patches []map[string]any }
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("reading the variant for one namespace: %w", err)
	}
	var out []any
	for _, p := range k.Patches {
		text, ok := p["patch"].(string)
		if !ok {
			return nil, errors.New("reading the variant for one namespace: a patch without content")
		}
		p["patch"] = scopeExample.ReplaceAllLiteralString(text, m.Scope)
		out = append(out, p)
	}
	return out, nil
}

// image is the kustomization's entry that puts a reference in the place of the image "ofn".
func image(ref string) map[string]any {
	out := map[string]any{"name": "ofn"}
	if name, digest, ok := strings.Cut(ref, "@"); ok {
		out["newName"], out["digest"] = name, digest
		return out
	}
	if at := strings.LastIndex(ref, ":"); at > strings.LastIndex(ref, "/") {
		out["newName"], out["newTag"] = ref[:at], ref[at+1:]
		return out
	}
	out["newName"], out["newTag"] = ref, "latest"
	return out
}

func (m Manifests) labelled(labels map[string]string) map[string]string {
	out := map[string]string{managedByLabel: Manager, versionLabel: labelValue(m.Version)}
	for k, v := range labels {
		out[k] = v
	}
	return out
}

var notOfLabels = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// labelValue makes a version one that a label may have.
func labelValue(version string) string {
	v := notOfLabels.ReplaceAllString(version, "-")
	return strings.Trim(v[:min(len(v), 63)], "-_.")
}

// ranks are kinds that must be there before others.
var ranks = []string{"Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap", "Secret", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service"}

// sortObjects brings objects into the order in which they can be applied.
func sortObjects(all []*unstructured.Unstructured) {
	slices.SortStableFunc(all, func(a, b *unstructured.Unstructured) int { return cmp.Compare(rank(a), rank(b)) })
}

// rank is that of an object's kind; it is late for webhooks: what they guard must run first.
func rank(o *unstructured.Unstructured) int { return rankOf(o.GetKind()) }

func rankOf(kind string) int {
	if i := slices.Index(ranks, kind); i >= 0 {
		return i
	}
	if strings.HasSuffix(kind, "WebhookConfiguration") {
		return len(ranks) + 1
	}
	return len(ranks)
}

// Identity names an object as kubectl does: "deployment.apps/ofn-operator".
func Identity(o *unstructured.Unstructured) string {
	return path.Join(identityKind(o.GroupVersionKind()), o.GetName())
}

func identityKind(k schema.GroupVersionKind) string {
	if k.Group == "" {
		return strings.ToLower(k.Kind)
	}
	return strings.ToLower(k.Kind) + "." + k.Group
}
