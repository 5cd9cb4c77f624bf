package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/manifest"
)

// manifestName is the file in a source directory that deploy starts from.
const manifestName = "function.yaml"

// localRegistry is the registry inside the control plane, as references name it.
const localRegistry = "ofn.local"

// plan is a deployment worked out before anything is sent.
type plan struct {
	flags    *deployment
	dir      string // whose content is the source; empty when the source is elsewhere
	bundle   string // reference of the pushed source
	cluster  bool   // the control plane has no registry of its own
	usual    string // the image, where the cluster says where those go that name no registry but a machine's
	insecure bool   // the registry of the image has no TLS
	function *unstructured.Unstructured
	place    *manifest.Place // of function, where it was read
	others   []manifest.Document
}

// plan reads the base and lays the flags over it.
func (d *deployment) plan(in io.Reader) (*plan, error) {
	p := &plan{flags: d, dir: d.dir}
	if d.git != "" && d.dir != "" {
		return nil, errors.New("give either a directory or --git, not both")
	}
	if p.dir == "" && d.git == "" && d.image == "" && d.file == "" {
		p.dir = "."
	}
	if err := d.checkGit(); err != nil {
		return nil, err
	}
	if p.dir != "" {
		if info, err := os.Stat(p.dir); err != nil {
			return nil, fmt.Errorf("reading the source: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%s is not a directory; a manifest is given with -f", p.dir)
		}
	}
	if err := p.base(in); err != nil {
		return nil, err
	}
	if p.place == nil && p.dir != "" {
		if err := rightDir(p.dir); err != nil {
			return nil, err
		}
	}
	if err := p.nameIt(); err != nil {
		return nil, err
	}
	return p, nil
}

func (d *deployment) checkGit() error {
	for _, flag := range []string{"revision", "sub-path", "credentials"} {
		if d.given(flag) && d.git == "" {
			return fmt.Errorf("--%s belongs to --git", flag)
		}
	}
	return nil
}

// base reads the manifest, or makes the least one.
func (p *plan) base(in io.Reader) error {
	path := p.flags.file
	if path == "" && p.dir != "" {
		own := filepath.Join(p.dir, manifestName)
		if _, err := os.Stat(own); err == nil {
			path = own
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reading the manifest: %w", err)
		}
	}
	if path == "" {
		p.function = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": v1beta2.GroupVersion.String(), "kind": "Function",
			"spec": map[string]any{"serving": map[string]any{"triggers": map[string]any{"http": map[string]any{"port": int64(v1beta2.DefaultPort)}}}},
		}}
		return nil
	}
	docs, err := manifest.Read(manifest.Sources{Files: []string{path}}, in)
	if err != nil {
		return err
	}
	return p.choose(path, docs)
}

// choose takes the one Function; the rest of the file is applied before it.
func (p *plan) choose(path string, docs []manifest.Document) error {
	for _, doc := range docs {
		gvk := doc.Object.GroupVersionKind()
		if gvk.Group != v1beta2.Group || gvk.Kind != "Function" {
			p.others = append(p.others, doc)
			continue
		}
		if p.function != nil {
			return fmt.Errorf("%s: a second Function; deploy takes one at a time, `ofn apply -f %s` takes all", doc.Place, path)
		}
		p.function, p.place = doc.Object, &doc.Place
	}
	if p.function == nil {
		return fmt.Errorf("%s has no Function of %s", path, v1beta2.Group)
	}
	if p.function.GroupVersionKind().Version == v1beta2.Version {
		return nil
	}
	converted, err := modern(p.function)
	if err != nil {
		return fmt.Errorf("%s: %w", p.place, err)
	}
	p.function = converted
	return nil
}

// modern converts a Function of v1beta1, so that flags mean the same for both.
func modern(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if v := o.GroupVersionKind().Version; v != v1beta1.GroupVersion.Version {
		return nil, fmt.Errorf("version %s of Function is unknown; %s and %s are known", v, v1beta2.Version, v1beta1.GroupVersion.Version)
	}
	old, hub := &v1beta1.Function{}, &v1beta2.Function{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, old); err != nil {
		return nil, fmt.Errorf("reading the Function: %w", err)
	}
	if err := old.ConvertTo(hub); err != nil {
		return nil, fmt.Errorf("converting the Function to %s: %w", v1beta2.Version, err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(hub)
	if err != nil {
		return nil, fmt.Errorf("converting the Function to %s: %w", v1beta2.Version, err)
	}
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	out := &unstructured.Unstructured{Object: content}
	out.SetGroupVersionKind(v1beta2.GroupVersion.WithKind("Function"))
	return out, nil
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// nameIt finds the function's name: the flag, the manifest, the repository, the directory.
func (p *plan) nameIt() error {
	name := p.flags.name
	if name == "" {
		name = p.function.GetName()
	}
	if name == "" && p.flags.git != "" {
		last := strings.TrimSuffix(strings.TrimRight(p.flags.git, "/"), ".git")
		if p.flags.subPath != "" {
			last = strings.TrimRight(p.flags.subPath, "/")
		}
		name = simplify(last[strings.LastIndexAny(last, "/:")+1:])
	}
	if name == "" && p.flags.archive != "" {
		name = simplify(archiveName(p.flags.archive))
	}
	if name == "" && p.dir != "" {
		abs, err := filepath.Abs(p.dir)
		if err != nil {
			return fmt.Errorf("naming the function: %w", err)
		}
		name = simplify(filepath.Base(abs))
	}
	if name == "" {
		return errors.New("the function has no name: give it with --name")
	}
	if problems := validation.IsDNS1035Label(name); len(problems) > 0 {
		return fmt.Errorf("%q cannot name a function: %s. Choose another with --name", name, problems[0])
	}
	p.function.SetName(name)
	return nil
}

// simplify makes a directory's name one that an object may have.
func simplify(s string) string {
	s = strings.Trim(notInName.ReplaceAllString(strings.ToLower(s), "-"), "-")
	return strings.TrimRight(s[:min(len(s), 50)], "-")
}

// blame says in which file the object stands that the server refused.
func (p *plan) blame(err error) error {
	if p.place == nil {
		return err
	}
	return fmt.Errorf("%s: %w", p.place, err)
}

// where says in which file the function stands; empty when it was made from flags alone.
func (p *plan) where() string {
	if p.place == nil {
		return ""
	}
	return p.place.String()
}

// image is where the build puts what it makes, or what is run; empty when nobody says.
func (p *plan) image() string {
	if p.usual != "" {
		return p.usual
	}
	if p.flags.image != "" {
		return p.flags.image
	}
	image, _, _ := unstructured.NestedString(p.function.Object, "spec", "image") // of another type is refused by the server
	return image
}

// within names the image in a registry where the plan names none, or that of a machine, as the manifests of `ofn init` do; otherwise it
// is empty.
func (p *plan) within(registry string) string {
	image, namespace := p.image(), p.function.GetNamespace()
	name, local := strings.CutPrefix(image, localRegistry+"/")
	switch {
	case image == "":
		name = p.function.GetName() + ":latest"
	case !local:
		return ""
	}
	return fmt.Sprintf("%s/%s/%s", registry, namespace, strings.TrimPrefix(name, namespace+"/"))
}

// forCluster takes what the cluster says of registries, and refuses what needs that of a machine.
func (p *plan) forCluster(r registries) error {
	p.cluster = true
	built := p.dir != "" || p.flags.git != "" || (&edit{object: p.function.Object}).has("spec", "build")
	if built && r.usual != "" {
		p.usual = p.within(r.usual)
	}
	image := p.image()
	host, _, _ := strings.Cut(image, "/")
	p.insecure = p.flags.plainHTTP || slices.Contains(r.insecure, host)
	switch {
	case image == "" && built:
		return fmt.Errorf("a cluster builds into a registry of yours: name the image, as in --image registry.example.com/team/%s, or have `ofn install --registry` say where images go", p.function.GetName())
	case host == localRegistry:
		return fmt.Errorf("the image %s is in the registry of one machine, which a cluster does not have: name one in a registry of yours with --image, or move it with `ofn export`", image)
	}
	return nil
}
