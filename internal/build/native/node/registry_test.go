package node

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// registry serves packages as the registry of npm does: what each version's package.json says more, by "name@version".
func registry(t *testing.T, packages map[string]string) string {
	t.Helper()
	return served(t, packages, func(_ *testing.T, h http.Handler) *httptest.Server { return httptest.NewServer(h) }).URL + "/"
}

// served is a registry behind a server that serve makes.
func served(t *testing.T, packages map[string]string, serve func(*testing.T, http.Handler) *httptest.Server) *httptest.Server {
	t.Helper()
	docs := map[string]map[string]any{}
	tarballs := map[string][]byte{}
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		switch {
		case tarballs[name] != nil:
			_, _ = w.Write(tarballs[name])
		case docs[name] != nil:
			_ = json.NewEncoder(w).Encode(docs[name])
		default:
			http.Error(w, `{"error":"Not found"}`, http.StatusNotFound)
		}
	}))
	t.Cleanup(srv.Close)
	url := srv.URL + "/"
	for _, id := range slices.Sorted(maps.Keys(packages)) {
		name, version, _ := strings.Cut(id, "@")
		manifest := map[string]any{"name": name, "version": version}
		if err := json.Unmarshal([]byte(packages[id]), &manifest); err != nil {
			t.Fatal(err)
		}
		packed := pack(t, manifest)
		file := fmt.Sprintf("%s/-/%s-%s.tgz", name, name, version)
		tarballs[file] = packed
		sum := sha512.Sum512(packed)
		manifest["dist"] = map[string]any{"tarball": url + file, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
		if docs[name] == nil {
			docs[name] = map[string]any{"name": name, "dist-tags": map[string]string{}, "versions": map[string]any{}}
		}
		docs[name]["dist-tags"].(map[string]string)["latest"] = version
		docs[name]["versions"].(map[string]any)[version] = manifest
	}
	return srv
}

func pack(t *testing.T, manifest map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, data := range map[string][]byte{"package/package.json": text, "package/index.js": []byte("module.exports = 'text';\n")} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lockOf lets npm make a lock file.
func lockOf(t *testing.T, url, manifest string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("npm", "install", "--package-lock-only", "--no-audit", "--no-fund")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "npm_config_registry="+url, "npm_config_cache="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
