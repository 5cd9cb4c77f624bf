package manifest

import (
	"errors"
	"fmt"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Sources are the flags that say what to read: files, or a directory with a kustomization.
type Sources struct {
	Files     []string
	Recursive bool
	Kustomize string
}

// None tells that nothing was said.
func (s Sources) None() bool { return len(s.Files) == 0 && s.Kustomize == "" }

// Check refuses flags that contradict each other.
func (s Sources) Check() error {
	if s.Kustomize != "" && (len(s.Files) > 0 || s.Recursive) {
		return errors.New("-k names the one directory that is read; leave -f and -R out")
	}
	return nil
}

// kustomize builds a kustomization in this process: plugins and files outside its directory are refused, as by `kubectl -k`.
func kustomize(dir string) ([]Document, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("building the kustomization in %s: %w", dir, err)
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("building the kustomization in %s: %w", dir, err)
	}
	return Parse(dir, text)
}
