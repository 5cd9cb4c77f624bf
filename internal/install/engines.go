package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/openfunction/ofn/internal/control/engines"
)

// Engines says which engines are wanted.
type Engines struct {
	// Releases in the order in which they are to be installed.
	Releases []engines.Release
	// Dir, where set, has a directory with manifests for each engine, by its name, that are taken instead of those of its makers.
	Dir string
	// HTTP fetches manifests.
	HTTP *http.Client
	// Upgrade brings what is there in another version to that of the release.
	Upgrade bool
	// Wait until the Deployments of each are available.
	Wait bool
}

// Wanted are the releases of names, each after those that it needs.
func Wanted(names []string) ([]engines.Release, error) {
	wanted := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		r, ok := engines.ReleaseNamed(name)
		if !ok {
			return fmt.Errorf("no engine is called %q; there are %s", name, strings.Join(Names(), ", "))
		}
		wanted[name] = true
		for _, need := range r.Needs {
			if err := add(need); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range names {
		if err := add(strings.TrimSpace(name)); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(engines.Releases(), func(r engines.Release) bool { return !wanted[r.Name] }), nil
}

// Names are those of all engines.
func Names() []string {
	var out []string
	for _, r := range engines.Releases() {
		out = append(out, r.Name)
	}
	return out
}

// Engines installs what is missing of the wanted engines. What is there is left as it is, unless it is to be upgraded.
func (i *Installer) Engines(ctx context.Context, e Engines) error {
	for _, r := range e.Releases {
		if err := i.engine(ctx, e, r); err != nil {
			return fmt.Errorf("installing %s: %w", r.Title, err)
		}
	}
	return nil
}

func (i *Installer) engine(ctx context.Context, e Engines, r engines.Release) error {
	i.Step("looking for %s", r.Title)
	there, err := i.get(ctx, definitions, "", r.Definition)
	if err != nil {
		return err
	}
	version := versionOf(there)
	switch {
	case there != nil && unfinished(there) == "" && (!e.Upgrade || version == r.Version):
		i.Line("%s is there%s, and is left as it is", r.Title, inVersion(version))
		return nil
	case e.Dir == "" && len(r.Manifests) == 0:
		return fmt.Errorf("its makers publish it as a chart only: run `%s`, or put the manifests that `helm template --include-crds` makes of it into DIR/%s and give --engine-manifests DIR", r.Chart, r.Name)
	}
	objects, err := e.manifests(ctx, i, r)
	if err != nil {
		return err
	}
	finish := i.begin(r, objects)
	if err := i.applyForeign(ctx, objects); err != nil {
		return err
	}
	if err := i.set(ctx, r); err != nil {
		return err
	}
	if i.DryRun {
		return nil
	}
	if err := finish(ctx); err != nil {
		return err
	}
	if e.Wait {
		if err := i.awaitAll(ctx, objects); err != nil {
			return err
		}
	}
	i.Line("%s %s is installed", r.Title, r.Version)
	if r.After != "" {
		i.Line("  what remains to be done: %s", r.After)
	}
	return nil
}

// annotationUnfinished is on the definition of an engine, which is among the first that are made, until all of the engine is: an installation
// that was interrupted is taken up, and not for an engine that is there. Its value is the version.
const annotationUnfinished = "openfunction.io/unfinished-installation"

func unfinished(definition *unstructured.Unstructured) string {
	return definition.GetAnnotations()[annotationUnfinished]
}

// begin marks the definition among the objects of a release; finish takes the mark away on the cluster.
func (i *Installer) begin(r engines.Release, objects []*unstructured.Unstructured) (finish func(context.Context) error) {
	n := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == definitions.Kind && o.GetName() == r.Definition
	})
	if n < 0 {
		return func(context.Context) error { return nil }
	}
	whole := objects[n].DeepCopy()
	annotations := objects[n].GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationUnfinished] = r.Version
	objects[n].SetAnnotations(annotations)
	return func(ctx context.Context) error {
		if err := i.applyAs(ctx, Manager, whole); err != nil {
			return fmt.Errorf("applying %s: %w", Identity(whole), err)
		}
		return nil
	}
}

func inVersion(v string) string {
	if v == "" {
		return ""
	}
	return " in version " + v
}

// versionOf reads the version that the makers of an engine write on its definitions; empty where they do not.
func versionOf(definition *unstructured.Unstructured) string {
	if definition == nil {
		return ""
	}
	v := definition.GetAnnotations()["gateway.networking.k8s.io/bundle-version"]
	for _, label := range []string{versionLabel, "pipeline.tekton.dev/release"} {
		if v == "" {
			v = definition.GetLabels()[label]
		}
	}
	return strings.TrimPrefix(v, "v")
}

// manifests reads those of a release from the directory, or from its makers.
func (e Engines) manifests(ctx context.Context, i *Installer, r engines.Release) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	add := func(from string, data []byte) error {
		objects, err := decode(data)
		if err != nil {
			return fmt.Errorf("reading %s: %w", from, err)
		}
		out = append(out, objects...)
		return nil
	}
	if e.Dir != "" {
		files, err := filepath.Glob(filepath.Join(e.Dir, r.Name, "*.y*ml"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("there are no manifests in %s: put those of version %s there (%s)", filepath.Join(e.Dir, r.Name), r.Version, strings.Join(r.Manifests, ", "))
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			if err := add(file, data); err != nil {
				return nil, err
			}
		}
	} else {
		for _, url := range r.Manifests {
			i.Step("fetching %s", url)
			data, err := fetch(ctx, e.HTTP, url)
			if err != nil {
				return nil, fmt.Errorf("%w; without access to it, put its content into DIR/%s and give --engine-manifests DIR", err, r.Name)
			}
			if err := add(url, data); err != nil {
				return nil, err
			}
		}
	}
	sortObjects(out)
	return out, nil
}

// maxManifest bounds what is read of one manifest.
const maxManifest = 64 << 20

func fetch(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", url, err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching %s: %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", url, err)
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("fetching %s: it is longer than %d MiB", url, maxManifest>>20)
	}
	return data, nil
}

// decode reads the documents of a manifest, those of lists one by one.
func decode(data []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		o := &unstructured.Unstructured{}
		err := d.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case len(o.Object) == 0:
		case o.IsList():
			err := o.EachListItem(func(item runtime.Object) error {
				if u, ok := item.(*unstructured.Unstructured); ok {
					out = append(out, u)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		case o.GetKind() == "" || o.GetName() == "":
			return nil, errors.New("a document has no kind or no name")
		default:
			out = append(out, o)
		}
	}
}

// foreignPatience is how long an engine's own webhooks and kinds may take until its objects are accepted.
const foreignPatience = 2 * time.Minute

// applyForeign applies what others wrote: definitions first, then what may need them, again while the engine's own webhooks start.
func (i *Installer) applyForeign(ctx context.Context, objects []*unstructured.Unstructured) error {
	n := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return rank(o) > rankOf(definitions.Kind) })
	if n < 0 {
		n = len(objects)
	}
	if err := i.apply(ctx, objects[:n]); err != nil {
		return explained(err)
	}
	if i.DryRun {
		return explained(i.apply(ctx, objects[n:]))
	}
	if err := i.until(ctx, func(ctx context.Context) (string, error) { return i.unestablished(ctx, objects[:n]) }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, foreignPatience)
	defer cancel()
	return i.until(ctx, func(ctx context.Context) (string, error) {
		for ; n < len(objects); n++ {
			err := i.apply(ctx, objects[n:n+1])
			if notYet(err) {
				return fmt.Sprintf("%s is accepted: %v", Identity(objects[n]), err), nil
			}
			if err != nil {
				return "", explained(err)
			}
		}
		return "", nil
	})
}

// set merges what the release does not have right by itself into its ConfigMaps.
func (i *Installer) set(ctx context.Context, r engines.Release) error {
	for name, values := range r.Settings {
		o := configMaps.object()
		o.SetNamespace(r.Namespace)
		o.SetName(name)
		if err := unstructured.SetNestedStringMap(o.Object, values, "data"); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		if err := i.applyAs(ctx, Manager+"-settings", o); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

func (i *Installer) awaitAll(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		if o.GetKind() != deployments.Kind {
			continue
		}
		if err := i.until(ctx, func(ctx context.Context) (string, error) { return i.unavailable(ctx, o.GetNamespace(), o.GetName()) }); err != nil {
			return err
		}
	}
	return nil
}

// notYet is whether the API server may accept an object a little later: its kind is not served yet, or a webhook does not answer, which
// is an internal error.
func notYet(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}
