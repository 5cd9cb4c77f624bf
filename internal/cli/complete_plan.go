package cli

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// complete lays the flags and the pushed source over the base.
func (p *plan) complete() error {
	e := &edit{object: p.function.Object}
	d := p.flags
	if d.pushSecret != "" {
		e.set(d.pushSecret, "spec", "imageCredentials", "name")
	}
	p.source(e)
	if !e.has("spec", "build") && (d.function != "" || d.builder != "" || d.command != "" || d.contract != "" || len(d.env) > 0) {
		return errors.New("--function, --builder, --command, --contract and --env belong to a build, and nothing is built here")
	}
	switch image := e.text("spec", "image"); {
	case p.usual != "":
		e.set(p.usual, "spec", "image")
	case d.image != "":
		e.set(d.image, "spec", "image")
	case image == "" && !e.has("spec", "build"):
		return errors.New("there is nothing to deploy: give a directory, --git or --image")
	case image == "":
		e.set(fmt.Sprintf("%s/%s/%s:latest", localRegistry, p.function.GetNamespace(), p.function.GetName()), "spec", "image")
	}
	if d.function != "" {
		e.set(d.function, "spec", "build", "env", "FUNC_NAME")
	}
	if d.command != "" {
		e.set(d.command, "spec", "build", "env", "FUNC_ENTRYPOINT")
	}
	if d.share != "" {
		e.set(d.share, "metadata", "annotations", v1beta2.AnnotationShare)
	}
	if d.contract != "" {
		e.set(d.contract, "metadata", "annotations", v1beta2.AnnotationContract)
	}
	for k, v := range maps.All(d.env) {
		e.set(v, "spec", "build", "env", k)
	}
	for k, v := range maps.All(d.params) {
		e.set(v, "spec", "serving", "params", k)
	}
	if d.given("port") {
		e.set(int64(d.port), "spec", "serving", "triggers", "http", "port")
	}
	for flag, field := range map[string]struct {
		name  string
		value int64
	}{"min-scale": {"minReplicas", d.minScale}, "max-scale": {"maxReplicas", d.maxScale}, "concurrency": {"containerConcurrency", d.concurrency}} {
		if d.given(flag) {
			e.set(field.value, "spec", "serving", "scaleOptions", field.name)
		}
	}
	return p.blameEdit(e.err)
}

func (p *plan) blameEdit(err error) error {
	if err == nil {
		return nil
	}
	return p.blame(err)
}

// source says where the build finds the source.
func (p *plan) source(e *edit) {
	d := p.flags
	switch {
	case p.bundle != "":
		// The directory is the source, whatever the manifest says: its own address is for those who have no copy.
		e.remove("spec", "build", "srcRepo")
		e.set(p.bundle, "spec", "build", "srcRepo", "bundleContainer", "image")
		if login := e.text("spec", "imageCredentials", "name"); p.cluster && login != "" { // source and image are in one place
			e.set(login, "spec", "build", "srcRepo", "credentials", "name")
		}
	case d.git != "":
		e.remove("spec", "build", "srcRepo")
		e.set(d.git, "spec", "build", "srcRepo", "url")
		for field, value := range map[string]string{"revision": d.revision, "sourceSubPath": d.subPath} {
			if value != "" {
				e.set(value, "spec", "build", "srcRepo", field)
			}
		}
		if d.credentials != "" {
			e.set(d.credentials, "spec", "build", "srcRepo", "credentials", "name")
		}
	case d.image != "" && d.file == "":
		e.remove("spec", "build") // an image alone is run as it is
		return
	case d.image != "" && !e.has("spec", "build", "srcRepo"):
		e.remove("spec", "build")
		return
	}
	if !e.has("spec", "build") {
		return
	}
	if d.builder != "" {
		e.set(d.builder, "spec", "build", "builder")
	}
	if e.text("spec", "build", "builder") == "" && e.text("spec", "build", "dockerfile") == "" {
		field, value := builderFor(p.dir)
		e.set(value, "spec", "build", field)
	}
}

// guess is what builds a kind of source: a field of spec.build and its value.
type guess struct{ pattern, field, value string }

// builderFor guesses from the files of the source. Without a directory it is Go.
func builderFor(dir string) (field, value string) {
	if g, found := detect(dir); found {
		return g.field, g.value
	}
	return "builder", "openfunction/builder-go:latest"
}

// detect knows a source by the files in its directory.
func detect(dir string) (guess, bool) {
	for _, g := range []guess{
		{"go.mod", "builder", "openfunction/builder-go:latest"},
		{"*.go", "builder", "openfunction/builder-go:latest"},
		{"package.json", "builder", "openfunction/builder-node:latest"},
		{"requirements.txt", "builder", "openfunction/builder-python:latest"},
		{"pyproject.toml", "builder", "openfunction/builder-python:latest"},
		{"*.py", "builder", "openfunction/builder-python:latest"},
		{"pom.xml", "builder", "openfunction/builder-java:latest"},
		{"build.gradle*", "builder", "openfunction/builder-java:latest"},
		{"*.jar", "builder", "openfunction/builder-java:latest"},
		{"Procfile", "builder", "native"},
		{"bootstrap", "builder", "native"},
		{"Dockerfile", "dockerfile", "Dockerfile"},
	} {
		if found, err := filepath.Glob(filepath.Join(dir, g.pattern)); dir != "" && err == nil && len(found) > 0 {
			return g, true
		}
	}
	return guess{}, false
}

// edit changes fields of an object and remembers the first that could not be.
type edit struct {
	object map[string]any
	err    error
}

func (e *edit) set(value any, path ...string) {
	// A section that is there but empty ("env:") is null, which is as good as absent.
	for i := 1; i < len(path); i++ {
		if v, found, err := unstructured.NestedFieldNoCopy(e.object, path[:i]...); err == nil && found && v == nil {
			unstructured.RemoveNestedField(e.object, path[:i]...)
		}
	}
	if err := unstructured.SetNestedField(e.object, value, path...); err != nil && e.err == nil {
		e.err = err
	}
}

func (e *edit) remove(path ...string) { unstructured.RemoveNestedField(e.object, path...) }

func (e *edit) has(path ...string) bool {
	v, found, err := unstructured.NestedFieldNoCopy(e.object, path...)
	return err == nil && found && v != nil
}

func (e *edit) text(path ...string) string {
	s, _, err := unstructured.NestedString(e.object, path...)
	if err != nil && e.err == nil {
		e.err = err
	}
	return s
}
