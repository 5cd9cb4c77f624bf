// Package shipwright_test checks the build strategies that come with ofn.
package shipwright_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

type strategy struct {
	Metadata struct{ Name string }
	Spec     struct {
		Parameters []struct {
			Name, Type, Description string
			Default                 *string
			Defaults                []string
		}
		Steps []struct {
			Command, Args []string
			Env           []struct{ Name, Value string }
		}
	}
}

func read(t *testing.T, into func(file string) any) []string {
	t.Helper()
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return f == "kustomization.yaml" })
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil {
			err = yaml.Unmarshal(data, into(file))
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return files
}

func strategies(t *testing.T) map[string]*strategy {
	t.Helper()
	all := map[string]*strategy{}
	read(t, func(file string) any {
		all[file] = &strategy{}
		return all[file]
	})
	return all
}

var reference = regexp.MustCompile(`\$\((params|results)\.([A-Za-z0-9_-]+)(\[\*\])?(\.path)?\)`)

// system are the parameters and results that Shipwright gives to every strategy.
var system = []string{"shp-source-root", "shp-source-context", "shp-output-directory", "shp-output-image", "shp-output-insecure", "shp-image-digest"}

func TestStrategies(t *testing.T) {
	kustomization, err := os.ReadFile("kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for file, s := range strategies(t) {
		names = append(names, s.Metadata.Name)
		if s.Metadata.Name+".yaml" != file || !strings.Contains(string(kustomization), file) {
			t.Errorf("%s holds %q, or is not in the kustomization", file, s.Metadata.Name)
		}
		declared := map[string]string{}
		for _, p := range s.Spec.Parameters {
			declared[p.Name] = p.Type
			if p.Description == "" || p.Type == "array" && p.Defaults == nil || p.Type == "string" && p.Default == nil && p.Name != "builder-image" {
				t.Errorf("%s: parameter %s has no description or no default", file, p.Name)
			}
		}
		used := map[string]bool{}
		for _, step := range s.Spec.Steps {
			for i, text := range append(slices.Clone(step.Args), envOf(step.Env)...) {
				for _, m := range reference.FindAllStringSubmatch(text, -1) {
					name, list := m[2], m[3] != ""
					used[name] = true
					if want := declared[name]; want == "" && !slices.Contains(system, name) || list != (want == "array") || list && m[0] != text {
						t.Errorf("%s: %s refers to a parameter of type %q", file, m[0], want)
					}
					// What a user gives must not become a part of the program: it comes by the environment or as an argument.
					if m[1] == "params" && i == 0 {
						t.Errorf("%s: the script holds %s", file, m[0])
					}
				}
			}
		}
		for name := range declared {
			if !used[name] && name != "builder-image" && name != "go-version" { // those are in the image of the step
				t.Errorf("%s: parameter %s is used nowhere", file, name)
			}
		}
	}
	slices.Sort(names)
	if want := []string{"buildah", "buildkit", "kaniko", "ko", v1beta2.DefaultBuildStrategy, v1beta2.WasmBuildStrategy}; !slices.Equal(names, want) {
		t.Errorf("there are %v, want %v", names, want)
	}
}

func envOf(env []struct{ Name, Value string }) []string {
	var out []string
	for _, e := range env {
		out = append(out, e.Value)
	}
	return out
}

// The fields are those of Shipwright's own schema, where its module happens to be on this machine.
func TestSchema(t *testing.T) {
	crd := definition(t)
	var version *apiextensionsv1.CustomResourceDefinitionVersion
	for i := range crd.Spec.Versions {
		if crd.Spec.Versions[i].Name == "v1beta1" {
			version = &crd.Spec.Versions[i]
		}
	}
	props := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, props, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := structuralschema.NewStructural(props)
	if err != nil {
		t.Fatal(err)
	}
	validator, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]*map[string]any{}
	for _, file := range read(t, func(file string) any { objects[file] = &map[string]any{}; return objects[file] }) {
		o := *objects[file]
		for _, wrong := range validation.ValidateCustomResource(nil, o, validator) {
			t.Errorf("%s: %v", file, wrong)
		}
		unknown := pruning.PruneWithOptions(o, structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
		if len(unknown) > 0 {
			t.Errorf("%s: unknown fields %v", file, unknown)
		}
	}
}

func definition(t *testing.T) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Skip("no go command:", err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(cache)), "github.com/shipwright-io/build@v0.20.13/deploy/crds/shipwright.io_clusterbuildstrategies.yaml"))
	if err != nil {
		t.Skip("Shipwright's module is not in the module cache:", err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(data, crd); err != nil {
		t.Fatal(err)
	}
	return crd
}
