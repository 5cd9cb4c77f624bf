package rust

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// packed is a crate of one file as a registry gives it.
func packed(t *testing.T, name string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for file, text := range files {
		err := w.WriteHeader(&tar.Header{Name: name + "-1.0.0/" + file, Mode: 0o644, Size: int64(len(text))})
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A private registry of crates lets the token of a secret in, and nobody else.
func TestPrivateRegistry(t *testing.T) {
	crate := packed(t, "left", map[string]string{"Cargo.toml": "[package]\nname = \"left\"\nversion = \"1.0.0\"\nedition = \"2021\"\n", "src/lib.rs": "pub const TEXT: &str = \"left\";\n"})
	files := map[string][]byte{
		"index/le/ft/left":        fmt.Appendf(nil, `{"name":"left","vers":"1.0.0","deps":[],"cksum":"%x","features":{},"yanked":false}`+"\n", sha256.Sum256(crate)),
		"crates/left/1.0.0.crate": crate,
	}
	srv := langtest.Private(t, langtest.Files(files))
	files["index/config.json"] = fmt.Appendf(nil, `{"dl":"%s/crates/{crate}/{version}.crate","auth-required":true}`, srv.URL)
	source := map[string]string{
		".cargo/config.toml": "[registries.ours]\nindex = \"sparse+" + srv.URL + "/index/\"\n",
		"Cargo.toml":         "[package]\nname = \"my-hello\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\nleft = { version = \"1\", registry = \"ours\" }\n",
		"src/main.rs":        "fn main() { println!(\"{}\", left::TEXT) }\n",
	}
	for name, c := range map[string]struct{ token, reason string }{"right": {langtest.Password, ""}, "wrong": {"wrong", "DependencyForbidden"}, "none": {"", "DependencyForbidden"}} {
		t.Run(name, func(t *testing.T) {
			r := builder(t)
			s := langtest.Source{Files: source, Work: t.TempDir()}
			if c.token != "" {
				s.Dependencies = build.Dependencies{Files: map[string][]byte{"credentials.toml": []byte("[registries.ours]\ntoken = \"" + c.token + "\"\n")}}
			}
			_, log, err := s.Compile(t, r)
			if err != nil {
				t.Log(log)
				log += err.Error()
			}
			langtest.Check(t, err, c.reason)
			langtest.Forgotten(t, r.opts.Cache, log)
			langtest.Forgotten(t, s.Work)
		})
	}
}
