package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/openfunction/ofn/test/cluster/internal/pki"
)

// manifests reads every object of an engine and adapts it to a small machine and to images that were built here.
func (i *Installer) manifests(ctx context.Context, name string, e Engine) ([]*unstructured.Unstructured, error) {
	dir, err := i.Build.folder(ctx, e.Module, e.Version)
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, s := range e.Sources {
		objects, err := i.read(ctx, dir, s)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	images := map[string]string{}
	for _, p := range e.Programs {
		images[e.ref(p)] = p.tag(name, e.Version)
	}
	kept := all[:0]
	for _, o := range all {
		if o.GetKind() == "HorizontalPodAutoscaler" || o.GetKind() == "PodDisruptionBudget" {
			continue // one of each is enough here, and nothing measures their use
		}
		replaceStrings(o.Object, images)
		relaxPods(o.Object)
		if err := e.configure(o); err != nil {
			return nil, fmt.Errorf("configuring %s: %w", o.GetName(), err)
		}
		kept = append(kept, o)
	}
	if e.Certificate != nil {
		return e.Certificate.add(kept)
	}
	return kept, nil
}

// configure sets what the engine wants in an object of its manifests.
func (e Engine) configure(o *unstructured.Unstructured) error {
	switch o.GetKind() {
	case "ConfigMap":
		for key, value := range e.Config[o.GetName()] {
			if err := unstructured.SetNestedField(o.Object, value, "data", key); err != nil {
				return err
			}
		}
	case "Deployment":
		if more := e.Args[o.GetName()]; len(more) > 0 {
			return addArgs(o.Object, more)
		}
	}
	return nil
}

// addArgs gives the first container of a pod template more arguments.
func addArgs(object map[string]any, more []string) error {
	path := []string{"spec", "template", "spec", "containers"}
	containers, _, err := unstructured.NestedSlice(object, path...)
	if err != nil {
		return err
	}
	if len(containers) == 0 {
		return errors.New("it has no containers")
	}
	first, ok := containers[0].(map[string]any)
	if !ok {
		return errors.New("its first container is no object")
	}
	args, _, err := unstructured.NestedStringSlice(first, "args")
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedStringSlice(first, append(args, more...), "args"); err != nil {
		return err
	}
	return unstructured.SetNestedSlice(object, containers, path...)
}

func (i *Installer) read(ctx context.Context, dir string, s Source) ([]*unstructured.Unstructured, error) {
	if s.Module != "" {
		var err error
		if dir, err = i.Build.dependency(ctx, dir, s.Module); err != nil {
			return nil, err
		}
	}
	switch {
	case s.Kustomize != "":
		return output(exec.CommandContext(ctx, i.Self, "kubectl", "kustomize", filepath.Join(dir, s.Kustomize)))
	case s.Chart != "":
		return i.render(ctx, dir, s)
	case s.Objects != "":
		return decode([]byte(s.Objects))
	}
	var all []*unstructured.Unstructured
	for _, pattern := range s.Files {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err == nil && len(files) == 0 {
			err = errors.New("no file matches")
		}
		if err != nil {
			return nil, fmt.Errorf("reading manifests %s: %w", filepath.Join(dir, pattern), err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			objects, err := decode(b)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
			all = append(all, objects...)
		}
	}
	return all, nil
}

func (i *Installer) render(ctx context.Context, dir string, s Source) ([]*unstructured.Unstructured, error) {
	helm, err := i.Build.Program(ctx, helmModule, helmVersion, Program{Package: "cmd/helm"})
	if err != nil {
		return nil, err
	}
	args := []string{"template", filepath.Base(s.Chart), filepath.Join(dir, s.Chart), "--namespace", s.Namespace, "--include-crds"}
	for _, v := range s.Values {
		args = append(args, "--set", v)
	}
	objects, err := output(exec.CommandContext(ctx, helm, args...))
	if err != nil {
		return nil, err
	}
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	namespace.SetName(s.Namespace)
	for _, o := range objects {
		if o.GetNamespace() == "" && namespaced(o.GetKind()) {
			o.SetNamespace(s.Namespace)
		}
	}
	return append(objects, namespace), nil
}

// namespaced says of the kinds that charts leave without a namespace whether they need one.
func namespaced(kind string) bool {
	switch kind {
	case "Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
		"APIService", "PriorityClass":
		return false
	}
	return true
}

func output(cmd *exec.Cmd) ([]*unstructured.Unstructured, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return decode(b)
}

func decode(b []byte) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	const peek = 4096 // what is looked at to tell JSON from YAML
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), peek); ; {
		o := &unstructured.Unstructured{}
		err := d.Decode(&o.Object)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case o.GetKind() != "":
			all = append(all, o)
		}
	}
}

// replaceStrings replaces every string in v that is a key of with.
func replaceStrings(v any, with map[string]string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = replaceStrings(e, with)
		}
	case []any:
		for k, e := range v {
			v[k] = replaceStrings(e, with)
		}
	case string:
		if w, ok := with[v]; ok {
			return w
		}
	}
	return v
}

// relaxPods makes pod templates start soon on a small machine: no reserved CPU, no pull, a readiness probe each second.
func relaxPods(object map[string]any) {
	containers, found, err := unstructured.NestedSlice(object, "spec", "template", "spec", "containers")
	if !found || err != nil {
		return
	}
	for _, c := range containers {
		c, ok := c.(map[string]any)
		if !ok {
			continue
		}
		delete(c, "resources")
		c["imagePullPolicy"] = "IfNotPresent"
		if probe, ok := c["readinessProbe"].(map[string]any); ok {
			delete(probe, "initialDelaySeconds")
			probe["periodSeconds"] = int64(1)
		}
		if probe, ok := c["livenessProbe"].(map[string]any); ok {
			const patience = 30 // a machine that compiles beside the tests is slow
			probe["failureThreshold"] = int64(patience)
		}
	}
	_ = unstructured.SetNestedSlice(object, containers, "spec", "template", "spec", "containers") // it was read from there
}

// add makes the certificate's Secret and puts its authority into the conversion webhooks of objects.
func (c Certificate) add(objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	dir, err := os.MkdirTemp("", "cluster-cert-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ca, err := pki.New(dir)
	if err != nil {
		return nil, err
	}
	host := c.Service + "." + c.Namespace + ".svc"
	if err := ca.Issue("tls", pki.Subject{User: host, Names: []string{host, host + ".cluster.local"}}); err != nil {
		return nil, err
	}
	data := map[string]any{}
	for _, file := range []string{"ca.crt", "tls.crt", "tls.key"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		data[file] = base64.StdEncoding.EncodeToString(b)
	}
	for _, o := range objects {
		if _, found, _ := unstructured.NestedMap(o.Object, "spec", "conversion", "webhook", "clientConfig"); found {
			if err := unstructured.SetNestedField(o.Object, data["ca.crt"], "spec", "conversion", "webhook", "clientConfig", "caBundle"); err != nil {
				return nil, err
			}
		}
	}
	secret := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data}}
	secret.SetName(c.Secret)
	secret.SetNamespace(c.Namespace)
	return append(objects, secret), nil
}
