package server

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/system"
)

// flagPIE marks, in DT_FLAGS_1, a program that may lie anywhere in memory.
const flagPIE = 0x08000000

// machines are the processors by the names that Go has for them.
var machines = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64", elf.EM_S390: "s390x", elf.EM_PPC64: "ppc64le",
	elf.EM_LOONGARCH: "loong64", elf.EM_MIPS: "mips",
}

// headOf is the beginning of a file; nothing when it cannot be read.
func headOf(file string) []byte {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head) // a short file is one
	return head[:n]
}

// foreign names the system a program is for, when it is none of Linux.
func foreign(head []byte) string {
	for system, magics := range map[string][]string{
		"Windows": {"MZ"}, "macOS": {"\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xca\xfe\xba\xbe"}, "WebAssembly": {"\x00asm"},
	} {
		for _, m := range magics {
			if bytes.HasPrefix(head, []byte(m)) {
				return system
			}
		}
	}
	return ""
}

// isProgram tells whether a file begins like an executable of any system.
func isProgram(head []byte) bool {
	return bytes.HasPrefix(head, []byte(elf.ELFMAG)) || foreign(head) != ""
}

// programs are the executables in the directory where the build begins.
func programs(t *lang.Tree) []string {
	var names []string
	for _, f := range t.Files {
		rel, in := lang.Below(t.Sub, f.Path)
		if !in || strings.Contains(rel, "/") || !f.Mode.IsRegular() {
			continue
		}
		if head := headOf(t.Abs(f.Path)); foreign(head) != "" && foreign(head) != "WebAssembly" || executable(t.Abs(f.Path)) {
			names = append(names, rel)
		}
	}
	return names
}

// only is the command that runs the only executable.
func only(t *lang.Tree) (string, error) {
	switch names := programs(t); len(names) {
	case 1:
		return "./" + names[0], nil
	case 0:
		return "", lang.Failure("CommandMissing", "nothing says what to run%s: name the command in FUNC_ENTRYPOINT of build.env (--command), or in a %s", lang.At(t.Sub), procfile)
	default:
		return "", lang.Failure("CommandMissing", "the source has several programs: say which to run in FUNC_ENTRYPOINT of build.env (--command); there are: %s", strings.Join(names, ", "))
	}
}

// executable tells programs from shared libraries and objects.
func executable(file string) bool {
	f, err := elf.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	switch f.Type {
	case elf.ET_EXEC:
		return true
	case elf.ET_DYN:
		flags, err := f.DynValue(elf.DT_FLAGS_1)
		return interpreter(f) != "" || err == nil && len(flags) > 0 && flags[0]&flagPIE != 0
	}
	return false
}

// interpreter is the loader that a program asks for; empty for static ones.
func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if err == nil {
				return strings.TrimRight(string(text), "\x00")
			}
		}
	}
	return ""
}

// checkBinary refuses what this machine cannot execute. name is for the message.
func (s *Server) checkBinary(name, file string) error {
	if system := foreign(headOf(file)); system != "" {
		return lang.Failure("ArchitectureMismatch", "%s is a program for %s: build it for %s/%s", name, system, s.opts.OS, s.opts.Arch)
	}
	f, err := elf.Open(file)
	if err != nil {
		return lang.Failure("ProgramInvalid", "%s begins like a program but is damaged: %v", name, err)
	}
	defer f.Close()
	arch, ok := machines[f.Machine]
	if !ok {
		arch = f.Machine.String()
	}
	if arch != s.opts.Arch {
		return lang.Failure("ArchitectureMismatch", "%s is a program for %s, and this machine is %s: build it for %s/%s", name, arch, s.opts.Arch, s.opts.OS, s.opts.Arch)
	}
	if loader := interpreter(f); loader != "" {
		if _, err := os.Stat(filepath.Join(s.opts.Root, loader)); err != nil {
			return lang.Failure("LibraryMissing", "%s needs the loader %s, which is of another C library than this machine's: link it statically, or install the package that has it (musl, for Alpine's)", name, loader)
		}
	}
	return nil
}

// libraries are what a program of the source needs of this machine, and the directories of the source that hold the rest.
func (s *Server) libraries(t *lang.Tree, name, file string) (l build.Layer, own []string, err error) {
	c := system.New(s.opts.Root)
	if err := c.UserProgram(file, "program", t.Root); err != nil {
		return nil, nil, err
	}
	for _, e := range c.Layer() {
		if e.Path != "program" && !strings.HasPrefix(e.File, t.Root+string(filepath.Separator)) && (e.File != "" || !inside(t, e.Path)) {
			l = append(l, e)
		}
	}
	f, err := elf.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the needs of %s: %w", name, err)
	}
	for _, library := range needed {
		if slices.ContainsFunc(l, func(e build.Entry) bool { return path.Base(e.Path) == library }) {
			continue
		}
		at := slices.IndexFunc(t.Files, func(f lang.File) bool { return path.Base(f.Path) == library })
		if at < 0 {
			return nil, nil, lang.Failure("LibraryMissing", "%s needs the shared library %s, which is neither in the source nor on this machine: add it to the source, install its package, or link statically", name, library)
		}
		rel, _ := lang.Below(t.Sub, path.Dir(t.Files[at].Path))
		own = append(own, path.Join("/", lang.SourceDir, rel))
	}
	slices.Sort(own)
	return l, slices.Compact(own), nil
}

// inside tells of a directory of a collection whether it leads to the source, which was read where it lies on this machine.
func inside(t *lang.Tree, dir string) bool {
	return strings.HasPrefix(t.Root+"/", "/"+dir+"/") || strings.HasPrefix("/"+dir, t.Root)
}
