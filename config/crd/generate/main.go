// Command generate writes the CustomResourceDefinitions into config/crd and the deep copies into api/, from the types in
// api/. It runs at the root of the module. With -check it writes nothing and fails when a file is stale.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

const into = "config/crd"

func main() {
	check := flag.Bool("check", false, "fail when a definition is stale instead of writing it")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	tmp, err := os.MkdirTemp("", "crd")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if !check {
		if err := controllerGen("object"); err != nil {
			return err
		}
	}
	if err := controllerGen("crd", "output:crd:dir="+tmp); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(tmp, "*.yaml"))
	if err != nil {
		return err
	}
	if len(made) == 0 {
		return errors.New("controller-gen made no definition; run this at the root of the module")
	}
	var problems []error
	for _, path := range made {
		problems = append(problems, place(path, filepath.Join(into, filepath.Base(path)), check))
	}
	return errors.Join(problems...)
}

// controllerGen runs the generator, whose dependencies are kept out of the module, over the API packages.
func controllerGen(args ...string) error {
	args = append([]string{"tool", "-modfile=go.tools.mod", "controller-gen", "paths=./api/..."}, args...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running controller-gen: %w", err)
	}
	return nil
}

// place writes one finished definition, or compares it.
func place(from, to string, check bool) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if data, err = finish(data); err != nil {
		return fmt.Errorf("finishing %s: %w", filepath.Base(from), err)
	}
	if !check {
		return os.WriteFile(to, data, 0o644)
	}
	have, err := os.ReadFile(to)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, data) {
		return fmt.Errorf("%s is stale: run make generate", to)
	}
	return nil
}

// finish takes the descriptions out of every version that is not stored: they repeat those of the stored one, and a
// definition has to stay small enough for kubectl apply and for every client that caches it.
func finish(data []byte) ([]byte, error) {
	var crd map[string]any
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return nil, err
	}
	spec, _ := crd["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if version["storage"] != true {
			strip(version["schema"], false)
		}
	}
	return yaml.Marshal(crd)
}

// strip removes the descriptions of a schema; named says that the keys of node are names of properties.
func strip(node any, named bool) {
	switch n := node.(type) {
	case map[string]any:
		if !named {
			delete(n, "description")
		}
		for key, child := range n {
			strip(child, key == "properties" && !named)
		}
	case []any:
		for _, child := range n {
			strip(child, false)
		}
	}
}
