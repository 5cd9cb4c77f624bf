package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const cgroupRoot = "/sys/fs/cgroup"

// makeCgroups makes the group of the cluster's pods: in every version 1 hierarchy, or in the one of version 2.
func makeCgroups(name string) error {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return os.MkdirAll(filepath.Join(cgroupRoot, name), 0o755)
	}
	for _, controller := range []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "systemd"} {
		parent := filepath.Join(cgroupRoot, controller)
		if _, err := os.Stat(parent); err != nil {
			continue // not mounted here
		}
		if err := os.MkdirAll(filepath.Join(parent, name), 0o755); err != nil {
			return fmt.Errorf("making the cgroup of the pods: %w", err)
		}
	}
	return inheritCpuset(name)
}

// inheritCpuset fills what version 1 leaves empty in a new group, and without which no process may enter it.
func inheritCpuset(name string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(cgroupRoot, "cpuset", file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the cpuset: %w", err)
		}
		if err := os.WriteFile(filepath.Join(cgroupRoot, "cpuset", name, file), b, 0o600); err != nil {
			return fmt.Errorf("handing the cpuset on: %w", err)
		}
	}
	return nil
}

// removeCgroups removes the group from every hierarchy, innermost first; no process may be left in it.
func removeCgroups(name string) error {
	roots, err := filepath.Glob(filepath.Join(cgroupRoot, "*", name))
	if err != nil {
		return err
	}
	var failed error
	for _, root := range append(roots, filepath.Join(cgroupRoot, name)) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // a group that went away meanwhile is what is wanted
		})
		slices.Reverse(dirs)
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = errors.Join(failed, err)
			}
		}
	}
	return failed
}
