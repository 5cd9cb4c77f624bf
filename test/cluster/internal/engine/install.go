package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Installer puts engines into a running cluster.
type Installer struct {
	Build Builder
	Self  string // this program, which is kubectl too
	// Inside makes a command that runs in the cluster.
	Inside func(ctx context.Context, args ...string) (*exec.Cmd, error)
	Load   func(ctx context.Context, archive io.Reader) error
	Log    *slog.Logger
}

// Prepare builds the programs and images of the engines, and of those they need, without a cluster.
func (i *Installer) Prepare(ctx context.Context, names ...string) error {
	sorted, err := order(names)
	if err != nil {
		return err
	}
	for _, name := range sorted {
		if _, err := i.archives(ctx, name, catalogue()[name]); err != nil {
			return fmt.Errorf("building %s: %w", name, err)
		}
	}
	return nil
}

// Install builds the engines and what they need, where that was not done, loads their images, applies their manifests
// and waits until all of their Deployments and StatefulSets are available.
func (i *Installer) Install(ctx context.Context, names ...string) error {
	sorted, err := order(names)
	if err != nil {
		return err
	}
	for _, name := range sorted {
		if err := i.install(ctx, name, catalogue()[name]); err != nil {
			return fmt.Errorf("installing %s: %w", name, err)
		}
	}
	return nil
}

func (i *Installer) install(ctx context.Context, name string, e Engine) error {
	begin := time.Now()
	archives, err := i.archives(ctx, name, e)
	if err != nil {
		return err
	}
	built := time.Now()
	for _, path := range archives {
		if err := i.loadFile(ctx, path); err != nil {
			return err
		}
	}
	objects, err := i.manifests(ctx, name, e)
	if err != nil {
		return err
	}
	if err := i.apply(ctx, objects); err != nil {
		return err
	}
	if err := i.available(ctx, objects); err != nil {
		return err
	}
	i.Log.Info("installed", "engine", name, "version", e.Version,
		"build", built.Sub(begin).Round(time.Millisecond), "start", time.Since(built).Round(time.Millisecond))
	return nil
}

func (i *Installer) archives(ctx context.Context, name string, e Engine) ([]string, error) {
	var paths []string
	for _, p := range e.Programs {
		begin := time.Now()
		path, err := i.Build.archive(ctx, name, e, p)
		if err != nil {
			return nil, err
		}
		i.Log.Debug("built", "engine", name, "program", p.Package, "took", time.Since(begin).Round(time.Millisecond))
		paths = append(paths, path)
	}
	return paths, nil
}

func (i *Installer) loadFile(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return i.Load(ctx, f)
}

// apply applies the kinds and namespaces first, waits until they are served, and then applies what needs them.
func (i *Installer) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	var before, after []*unstructured.Unstructured
	kinds := false
	for _, o := range objects {
		switch o.GetKind() {
		case "CustomResourceDefinition":
			kinds = true
			before = append(before, o)
		case "Namespace":
			before = append(before, o)
		default:
			after = append(after, o)
		}
	}
	if err := i.applyAll(ctx, before); err != nil {
		return err
	}
	if kinds {
		if err := i.kubectl(ctx, nil, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
			return err
		}
	}
	return i.applyAll(ctx, after)
}

func (i *Installer) applyAll(ctx context.Context, objects []*unstructured.Unstructured) error {
	if len(objects) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, o := range objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("writing %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return i.kubectl(ctx, &b, "apply", "--server-side", "--force-conflicts", "-f", "-")
}

// available waits for what among objects runs pods, whole.
func (i *Installer) available(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		if o.GetKind() != "Deployment" && o.GetKind() != "StatefulSet" {
			continue
		}
		err := i.kubectl(ctx, nil, "rollout", "status", "--timeout=300s", "-n", o.GetNamespace(), strings.ToLower(o.GetKind())+"/"+o.GetName())
		if err != nil {
			return err
		}
	}
	return nil
}

func (i *Installer) kubectl(ctx context.Context, stdin io.Reader, args ...string) error {
	cmd, err := i.Inside(ctx, append([]string{i.Self, "kubectl"}, args...)...)
	if err != nil {
		return err
	}
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
