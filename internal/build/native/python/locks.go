package python

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// readLock reads a lock file into the lines of a requirements file.
func readLock(j *job, name string, read func([]byte) ([]string, error)) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(j.dir, name))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	lines, err := read(data)
	if err != nil {
		return nil, lang.Failure("LockInvalid", "%s: %v", name, err)
	}
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}

// poetryPackage is one package of a poetry.lock.
type poetryPackage struct {
	Name     string   `toml:"name"`
	Version  string   `toml:"version"`
	Optional bool     `toml:"optional"`
	Groups   []string `toml:"groups"`
	Category string   `toml:"category"` // before groups
	Markers  any      `toml:"markers"`  // one for all groups, or one for each
	Files    []struct {
		Hash string `toml:"hash"`
	} `toml:"files"`
	Source *struct {
		Type string `toml:"type"`
		URL  string `toml:"url"`
	} `toml:"source"`
}

// poetryLock takes the packages of the main group.
func poetryLock(data []byte) ([]string, error) {
	var lock struct {
		Package  []poetryPackage `toml:"package"`
		Metadata struct {
			Version string `toml:"lock-version"`
		} `toml:"metadata"`
	}
	if err := toml.Unmarshal(data, &lock); err != nil {
		return nil, fmt.Errorf("cannot be read: %s", tomlError(err))
	}
	var lines []string
	indexes := map[string]bool{}
	for _, p := range lock.Package {
		if len(p.Groups) == 0 && p.Category == "" {
			return nil, fmt.Errorf("its version %s does not say which packages are for development: run `poetry lock` with Poetry 2 and commit it", lock.Metadata.Version)
		}
		if p.Optional || (p.Category != "" && p.Category != "main") || (len(p.Groups) > 0 && !slices.Contains(p.Groups, "main")) {
			continue
		}
		line, index, err := p.requirement()
		if err != nil {
			return nil, err
		}
		if index != "" {
			indexes["--extra-index-url "+index] = true
		}
		lines = append(lines, line)
	}
	return append(slices.Sorted(maps.Keys(indexes)), lines...), nil
}

func (p poetryPackage) requirement() (line, index string, err error) {
	if p.Source != nil {
		if p.Source.Type != "legacy" {
			return "", "", fmt.Errorf("package %s comes from %s %s: packages of an index can be installed only", p.Name, p.Source.Type, p.Source.URL)
		}
		index = p.Source.URL
	}
	line = p.Name + "==" + p.Version
	switch m := p.Markers.(type) {
	case string:
		line += " ; " + m
	case map[string]any:
		if text, ok := m["main"].(string); ok {
			line += " ; " + text
		}
	}
	for _, f := range p.Files {
		line += " --hash=" + f.Hash
	}
	return line, index, nil
}

// pipfileLock takes the default packages.
func pipfileLock(data []byte) ([]string, error) {
	var lock struct {
		Meta struct {
			Sources []struct {
				URL string `json:"url"`
			} `json:"sources"`
		} `json:"_meta"`
		Default map[string]struct {
			Version string   `json:"version"`
			Extras  []string `json:"extras"`
			Markers string   `json:"markers"`
			Hashes  []string `json:"hashes"`
		} `json:"default"`
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	var lines []string
	for _, s := range lock.Meta.Sources {
		if s.URL != "https://pypi.org/simple" && !strings.Contains(s.URL, "$") { // those with variables have their login in the build's credentials
			lines = append(lines, "--extra-index-url "+s.URL)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lock.Default)) {
		p := lock.Default[name]
		if p.Version == "" {
			return nil, fmt.Errorf("package %s has no version: packages of an index can be installed only", name)
		}
		line := name
		if len(p.Extras) > 0 {
			line += "[" + strings.Join(p.Extras, ",") + "]"
		}
		line += p.Version
		if p.Markers != "" {
			line += " ; " + p.Markers
		}
		for _, h := range p.Hashes {
			line += " --hash=" + h
		}
		lines = append(lines, line)
	}
	return lines, nil
}
