package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// withoutProvided takes the packages that the platform provides out of the dependencies of a package.json or of the lock file of npm, so
// that they and all that they need are not downloaded. Text that has none of them, or is in another form, is returned as it is.
func withoutProvided(text []byte) []byte {
	var whole map[string]json.RawMessage
	if json.Unmarshal(text, &whole) != nil {
		return text
	}
	changed := dropDependencies(whole)
	var packages map[string]json.RawMessage
	if json.Unmarshal(whole["packages"], &packages) == nil {
		var root map[string]json.RawMessage
		if json.Unmarshal(packages[""], &root) == nil && dropDependencies(root) {
			packages[""] = raw(root)
			changed = true
		}
		for _, name := range frameworkNames {
			if _, ok := packages["node_modules/"+name]; ok {
				delete(packages, "node_modules/"+name)
				changed = true
			}
		}
		whole["packages"] = raw(packages)
	}
	if !changed {
		return text
	}
	return raw(whole)
}

// dropDependencies tells whether there was something to drop.
func dropDependencies(manifest map[string]json.RawMessage) bool {
	changed := false
	for _, kind := range []string{"dependencies", "devDependencies", "optionalDependencies", "peerDependencies"} {
		var deps map[string]json.RawMessage
		if json.Unmarshal(manifest[kind], &deps) != nil {
			continue
		}
		for _, name := range frameworkNames {
			if _, ok := deps[name]; ok {
				delete(deps, name)
				manifest[kind] = raw(deps)
				changed = true
			}
		}
	}
	return changed
}

// raw writes what was read from JSON, which cannot fail.
func raw(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return text
}

// hideProvided rewrites package.json and lock file in a directory, until restore is called.
func (j *job) hideProvided(dir string) (restore func() error, err error) {
	changed := map[string][]byte{}
	restore = func() error {
		for name, text := range changed {
			if err := lang.WriteFile(name, text); err != nil {
				return fmt.Errorf("restoring %s: %w", filepath.Base(name), err)
			}
		}
		return nil
	}
	if j.plan.lock != "" && j.plan.manager != npm {
		return restore, nil // its lock file would not fit any more
	}
	for _, name := range []string{"package.json", "package-lock.json", "npm-shrinkwrap.json"} {
		name = filepath.Join(dir, name)
		text, err := lang.ReadWithin(j.Work, name, maxManifest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return restore, fmt.Errorf("reading %s: %w", filepath.Base(name), err)
		}
		hidden := withoutProvided(text)
		if string(hidden) == string(text) {
			continue
		}
		changed[name] = text
		if err := lang.WriteFile(name, hidden); err != nil {
			return restore, fmt.Errorf("writing %s: %w", filepath.Base(name), err)
		}
	}
	return restore, nil
}
