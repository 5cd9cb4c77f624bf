package system

import (
	"bufio"
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// searchPath lists where the dynamic loader looks, as ld.so(8) says: the directories of /etc/ld.so.conf, then the loader's own.
func searchPath(root string) []string {
	dirs := configured(root, "/etc/ld.so.conf", 0)
	for _, pattern := range []string{"/lib/*-linux-gnu*", "/usr/lib/*-linux-gnu*", "/lib/*-linux-musl*", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	return slices.Compact(dirs)
}

// configured reads a file of the form of ld.so.conf: a directory or `include PATTERN` per line.
func configured(root, name string, depth int) []string {
	f, err := os.Open(filepath.Join(root, name))
	if err != nil || depth > 4 {
		return nil
	}
	defer f.Close()
	var dirs []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 1:
			dirs = append(dirs, filepath.Join(root, words[0]))
		case len(words) == 2 && words[0] == "include":
			files, err := filepath.Glob(filepath.Join(root, words[1]))
			if err != nil {
				continue
			}
			for _, file := range files {
				rel, err := filepath.Rel(root, file)
				if err == nil {
					dirs = append(dirs, configured(root, rel, depth+1)...)
				}
			}
		}
	}
	return dirs
}

// find looks for a library of the class (32 or 64 bits), first in own directories. Where within is not empty, only what is inside of it or among
// the machine's libraries is found.
func (c *Collection) find(name string, class elf.Class, own []string, within string) (string, bool) {
	files := []string{name}
	if !strings.Contains(name, "/") {
		files = nil
		for _, dir := range append(slices.Clone(own), c.search...) {
			files = append(files, filepath.Join(dir, name))
		}
	}
	for _, file := range files {
		real, err := filepath.EvalSymlinks(file)
		if err != nil || within != "" && !below(within, real) && !c.isLibrary(real) {
			continue
		}
		if classOf(file) == class {
			return file, true
		}
	}
	return "", false
}

// classOf is ELFCLASSNONE for what is no shared object.
func classOf(file string) elf.Class {
	f, err := elf.Open(file)
	if err != nil {
		return elf.ELFCLASSNONE
	}
	defer f.Close()
	return f.Class
}

// runPath is the object's own search path, with $ORIGIN for the directory it is in.
func runPath(f *elf.File, origin string) []string {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		values, err := f.DynString(tag)
		if err != nil {
			continue
		}
		for _, v := range values {
			for _, dir := range strings.Split(v, ":") {
				dir = strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(dir)
				if filepath.IsAbs(dir) {
					dirs = append(dirs, filepath.Clean(dir))
				}
			}
		}
	}
	return dirs
}

// interpreter is the path of the loader that a program asks for; empty for libraries and static programs.
func interpreter(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(text), "\x00"), nil
	}
	return "", nil
}
