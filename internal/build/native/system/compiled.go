package system

import (
	"debug/elf"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// collected is where programs lie while the libraries that they need are looked for.
const collected = "programs/"

// Libraries are those of the machine that compiled programs of a user need, and those by which names are looked up. A program that names files of
// the machine is a *build.Failure.
func Libraries(root string, files []string) (build.Layer, error) {
	c := New(root)
	for n, file := range files {
		if err := checkLinks(file); err != nil {
			return nil, err
		}
		if err := c.UserProgram(file, fmt.Sprintf("%s%d", collected, n), filepath.Dir(file)); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"libnss_files.so.2", "libnss_dns.so.2"} {
		if _, err := c.Library(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(c.Layer(), func(e build.Entry) bool { return strings.HasPrefix(e.Path+"/", collected) }), nil
}

var loader = regexp.MustCompile(`^/lib(64)?/ld-[A-Za-z0-9._-]+$`)

// checkLinks refuses a program that names files of this machine by their path: what it names goes into the image, and code of the user
// may have chosen it.
func checkLinks(file string) error {
	failed := func(format string, args ...any) *build.Failure {
		return &build.Failure{Reason: "LinkFailed", Message: fmt.Sprintf(format, args...)}
	}
	f, err := elf.Open(file)
	if err != nil {
		return failed("what was linked is no program: %v", err)
	}
	defer f.Close()
	var named []string
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if text := strings.TrimRight(string(name), "\x00"); err != nil || !loader.MatchString(text) {
				named = append(named, text)
			}
		}
	}
	for _, tag := range []elf.DynTag{elf.DT_NEEDED, elf.DT_RPATH, elf.DT_RUNPATH} {
		names, err := f.DynString(tag)
		if err != nil {
			continue // a static program has none
		}
		for _, name := range names {
			if tag != elf.DT_NEEDED || strings.Contains(name, "/") {
				named = append(named, name)
			}
		}
	}
	if len(named) > 0 {
		return failed("the program is linked with files by their path, %s: link libraries by their name, or statically", strings.Join(named, ", "))
	}
	return nil
}
