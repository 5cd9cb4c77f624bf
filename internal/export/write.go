package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// mark begins the kustomization that Write makes, by which it knows its own directory again.
const mark = "# Made by `ofn export`; the next one into this directory replaces it."

const kustomization = "kustomization.yaml"

// ImagesDir is the OCI layout inside an export's directory.
const ImagesDir = "images"

// File is where an object is in a directory, slashes between.
func File(o *unstructured.Unstructured) string {
	dir := o.GetNamespace()
	if dir == "" {
		dir = "cluster"
		if o.GetKind() == "Namespace" {
			dir = o.GetName()
		}
	}
	return path.Join(dir, strings.ToLower(o.GetKind())+"-"+o.GetName()+".yaml")
}

// Write makes a directory that `kubectl apply -k` takes: a file for each object, and a kustomization. What an earlier export
// made there goes; a directory with anything else in it is refused.
func (b *Bundle) Write(dir string) error {
	if err := clear(dir); err != nil {
		return err
	}
	var index bytes.Buffer
	fmt.Fprintf(&index, "%s\n%sapiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n", mark, b.comments())
	for _, o := range b.Objects {
		file := File(o)
		fmt.Fprintf(&index, "- %s\n", file)
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("writing %s: %w", nameOf(o), err)
		}
		mode := fs.FileMode(0o644)
		if o.GetKind() == "Secret" {
			mode = 0o600
		}
		at := filepath.Join(dir, filepath.FromSlash(file))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, mode)); err != nil {
			return fmt.Errorf("writing %s: %w", nameOf(o), err)
		}
	}
	// The last one: a directory without it is not complete.
	if err := os.WriteFile(filepath.Join(dir, kustomization), index.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the kustomization: %w", err)
	}
	return nil
}

// comments are what must be made by hand first.
func (b *Bundle) comments() string {
	var out strings.Builder
	for _, m := range b.Missing {
		fmt.Fprintf(&out, "# %s\n", m)
	}
	return out.String()
}

// clear makes an empty directory of one that is new, empty or an export's.
func clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("writing to %s: %w", dir, err)
	}
	if len(entries) == 0 {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(dir, kustomization))
	if err != nil || !bytes.HasPrefix(data, []byte(mark)) {
		return fmt.Errorf("%s is not empty, and not an earlier export: give a new directory", dir)
	}
	var old struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(data, &old); err != nil {
		return fmt.Errorf("reading the earlier export in %s: %w", dir, err)
	}
	for _, r := range old.Resources {
		if !filepath.IsLocal(r) {
			return fmt.Errorf("%s names %s, which is outside of it", filepath.Join(dir, kustomization), r)
		}
		if err := os.Remove(filepath.Join(dir, r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the earlier export: %w", err)
		}
		_ = os.Remove(filepath.Join(dir, filepath.Dir(r))) // stays while there is something in it
	}
	return os.RemoveAll(filepath.Join(dir, ImagesDir))
}

// Stream writes all objects as one YAML stream.
func (b *Bundle) Stream(w io.Writer) error {
	if _, err := io.WriteString(w, b.comments()); err != nil {
		return err
	}
	for _, o := range b.Objects {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("writing %s: %w", nameOf(o), err)
		}
		if _, err := fmt.Fprintf(w, "---\n%s", data); err != nil {
			return err
		}
	}
	return nil
}

// String is the line that says what to do.
func (m Missing) String() string {
	name := m.Name
	if m.Namespace != "" {
		name = m.Namespace + "/" + m.Name
	}
	line := fmt.Sprintf("%s %s, of %s, must be made there", strings.ToLower(m.Kind), name, strings.Join(m.UsedBy, ", "))
	switch {
	case m.Absent:
		line += " (it is not here either)"
	case m.Kind == "Secret":
		line += fmt.Sprintf(" (type %s, keys %s); --secrets exports its content", m.Type, strings.Join(m.Keys, ", "))
	}
	return line
}
