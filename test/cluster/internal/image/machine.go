package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
)

// Machine returns programs of this machine, by their absolute paths, with the dynamic linker and the libraries that they load. They
// lie in the image where they lie here.
func Machine(programs ...string) ([]File, error) {
	var files []File
	seen := map[string]bool{}
	add := func(path string) {
		if !seen[path] {
			seen[path] = true
			files = append(files, File{Path: path, Source: path})
		}
	}
	for _, program := range programs {
		add(program)
		out, err := exec.Command("ldd", program).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
			return nil, fmt.Errorf("asking which libraries %s loads: %w: %s", program, err, strings.TrimSpace(string(out)))
		}
		for _, word := range strings.Fields(string(out)) {
			if filepath.IsAbs(word) && !strings.HasSuffix(word, ":") {
				add(word)
			}
		}
	}
	return files, nil
}

// Git returns git of this machine, which fetches over HTTP and SSH too, a shell, and more programs by their names.
func Git(more ...string) ([]File, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("asking git where its programs are: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	http := filepath.Join(dir, "git-remote-http")
	programs := []string{http}
	// git submodule is a script, and the others are what it calls.
	for _, name := range append([]string{"git", "ssh", "basename", "sed", "uname"}, more...) {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("install the package that has it (git, openssh-client, git-lfs): %w", err)
		}
		programs = append(programs, path)
	}
	files, err := Machine(append(programs, "/bin/sh")...)
	files = append(files, File{Path: http + "s", Source: http})
	for _, name := range []string{"git-submodule", "git-sh-setup", "git-sh-i18n"} {
		files = append(files, File{Path: filepath.Join(dir, name), Source: filepath.Join(dir, name)})
	}
	return files, err
}

// Tree returns the files below a folder of this machine for which keep is true of their path; folders for which it is not are left
// out whole.
func Tree(dir string, keep func(path string, folder bool) bool) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !keep(path, d.IsDir()):
			if d.IsDir() {
				return filepath.SkipDir
			}
		case d.Type().IsRegular():
			files = append(files, File{Path: path, Source: path})
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = errors.New("no file is left")
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	return files, nil
}
