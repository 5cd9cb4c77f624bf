// Package crd holds the CustomResourceDefinitions of the platform, generated from the Go types of api/. They contain no
// conversion stanza: its certificate is only known to whoever installs them.
package crd

import (
	"embed"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed *_*.yaml
var files embed.FS

// Objects reads all definitions, ordered by name. Each call returns fresh copies.
func Objects() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("listing definitions: %w", err)
	}
	out := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(entries))
	for _, e := range entries {
		data, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading definition: %w", err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, crd); err != nil {
			return nil, fmt.Errorf("reading definition %s: %w", e.Name(), err)
		}
		out = append(out, crd)
	}
	return out, nil
}
