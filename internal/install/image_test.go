package install_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/openfunction/ofn/internal/install"
)

// program writes the head of a program for Linux, with an interpreter when it is dynamic.
func program(t *testing.T, machine elf.Machine, dynamic bool) string {
	t.Helper()
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	p := elf.Prog64{Type: uint32(elf.PT_LOAD)}
	if dynamic {
		p.Type = uint32(elf.PT_INTERP)
	}
	var b bytes.Buffer
	if err := errors.Join(binary.Write(&b, binary.LittleEndian, h), binary.Write(&b, binary.LittleEndian, p)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ofn")
	if err := os.WriteFile(path, b.Bytes(), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImage(t *testing.T) {
	path := program(t, elf.EM_AARCH64, false)
	one, err := install.Image(path, "v1", []byte("pem"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := install.Image(path, "v1", []byte("pem"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := one.Digest()
	if b, _ := two.Digest(); a != b {
		t.Errorf("the same program made %s and %s", a, b)
	}
	f, err := one.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if f.Architecture != "arm64" || f.Config.User != "65532:65532" || f.Config.Entrypoint[0] != "/ofn" || f.Config.Labels["org.opencontainers.image.version"] != "v1" {
		t.Errorf("%s %+v", f.Architecture, f.Config)
	}
	found := map[string]int64{}
	content := mutate.Extract(one)
	defer content.Close()
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h.Mode
	}
	if found["ofn"]&0o111 == 0 || found["etc/ssl/certs/ca-certificates.crt"] == 0 {
		t.Errorf("files %v", found)
	}
}

func TestImageRefuses(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		script:                             "no program for Linux",
		program(t, elf.EM_X86_64, true):    "CGO_ENABLED=0",
		program(t, elf.EM_RISCV, false):    "amd64 and arm64",
		filepath.Join(t.TempDir(), "none"): "no such file",
	} {
		if _, err := install.Image(path, "v1", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestIndex(t *testing.T) {
	amd64, arm64 := program(t, elf.EM_X86_64, false), program(t, elf.EM_AARCH64, false)
	one, err := install.Index([]string{amd64, arm64}, "v1", []byte("pem"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := install.Index([]string{arm64, amd64}, "v1", []byte("pem"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := one.Digest()
	if b, _ := two.Digest(); a != b {
		t.Errorf("in another order it is %s, not %s", b, a)
	}
	m, err := one.IndexManifest()
	if err != nil || len(m.Manifests) != 2 || m.Manifests[0].Platform.Architecture != "amd64" || m.Manifests[1].Platform.Architecture != "arm64" {
		t.Errorf("%+v (%v)", m, err)
	}
	if _, err := install.Index([]string{amd64, program(t, elf.EM_X86_64, false)}, "v1", nil); err == nil || !strings.Contains(err.Error(), "both for amd64") {
		t.Error(err)
	}
}
