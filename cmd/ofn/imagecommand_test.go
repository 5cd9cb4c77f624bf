package main

import (
	"bytes"
	"debug/elf"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openfunction/ofn/internal/image/registry"
)

// linuxProgram is the head of a static program for Linux.
func linuxProgram(t *testing.T, machine elf.Machine) string {
	t.Helper()
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), machine.String())
	if err := os.WriteFile(path, b.Bytes(), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// privateRegistry is ofn's own registry behind a password, and the directory of a docker configuration that knows it.
func privateRegistry(t *testing.T) (host, docker string) {
	t.Helper()
	own, err := registry.Open(t.TempDir(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		own.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	host, docker = strings.TrimPrefix(srv.URL, "http://"), t.TempDir()
	login := base64.StdEncoding.EncodeToString([]byte("ada:s3cret"))
	if err := os.WriteFile(filepath.Join(docker, "config.json"), fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, host, login), 0o600); err != nil {
		t.Fatal(err)
	}
	return host, docker
}

func TestImageIsPushed(t *testing.T) {
	host, docker := privateRegistry(t)
	pem := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(pem, []byte("pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	amd64, arm64, riscv := linuxProgram(t, elf.EM_X86_64), linuxProgram(t, elf.EM_AARCH64), linuxProgram(t, elf.EM_RISCV)
	run := func(args ...string) error {
		cmd := imageCommand()
		cmd.SetArgs(append(args, "--certificates", pem))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		return cmd.ExecuteContext(t.Context())
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--binary", amd64, "--binary", arm64, "--push", host + "/ofn:1"}, "docker login " + host},
		{[]string{"--binary", amd64, "--push", host + "/ofn:1"}, "docker login " + host},
		{[]string{"--binary", amd64, "--binary", amd64, "--push", host + "/ofn:1"}, "both for amd64"},
		{[]string{"--binary", amd64, "--binary", riscv, "--push", host + "/ofn:1"}, "amd64 and arm64"},
		{[]string{"--binary", amd64, "--binary", arm64, "--output", "x.tar"}, "one architecture"},
		{[]string{"--binary", amd64, "--binary", arm64, "--push", host + "/ofn:1", "--onto", host + "/x"}, "--binary once"},
		{nil, "--push"},
	} {
		if err := run(c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
	t.Setenv("DOCKER_CONFIG", docker)
	for _, args := range [][]string{{"--binary", arm64, "--push", host + "/one:1"}, {"--binary", arm64, "--binary", amd64, "--push", host + "/both:1"}} {
		if err := run(args...); err != nil {
			t.Fatal(args, err)
		}
	}
	pulled(t, host+"/one:1", "arm64", "arm64")
	pulled(t, host+"/both:1", "amd64", "amd64")
	pulled(t, host+"/both:1", "arm64", "arm64")
}

// pulled is what a node of an architecture gets.
func pulled(t *testing.T, image, node, want string) {
	t.Helper()
	ref, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: "ada", Password: "s3cret"}), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: node}))
	if err != nil {
		t.Fatal(image, err)
	}
	f, err := got.ConfigFile()
	if err != nil || f.Architecture != want || f.Config.Entrypoint[0] != "/ofn" {
		t.Errorf("%s on %s is %+v (%v)", image, node, f, err)
	}
}
