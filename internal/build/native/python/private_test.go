package python

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// wheel is a package of one module.
func wheel(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	info := name + "-1.0.dist-info/"
	for file, data := range map[string]string{name + ".py": text, info + "METADATA": "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n",
		info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n", info + "RECORD": name + ".py,,\n"} {
		f, err := w.Create(file)
		if err == nil {
			_, err = f.Write([]byte(data))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A private package index lets the login of a secret in, as a login for its host and as a pip.conf, and nobody else. pip takes an index that it may not
// read for one without the package.
func TestPrivateIndex(t *testing.T) {
	p := newPython(t)
	const file = "ofn_left_4711-1.0-py3-none-any.whl"
	srv := langtest.Private(t, langtest.Files(map[string][]byte{
		"simple/ofn-left-4711/": []byte(`<a href="/files/` + file + `">` + file + `</a>`), "files/" + file: wheel(t, "ofn_left_4711", "text = 'left'\n"),
	}))
	conf := "[global]\nindex-url = http://" + langtest.User + ":" + langtest.Password + "@" + srv.URL[len("http://"):] + "/simple/\n"
	for name, c := range map[string]struct {
		given  build.Dependencies
		env    map[string]string
		reason string
	}{
		"login": {langtest.Login(srv), map[string]string{"PIP_INDEX_URL": srv.URL + "/simple/"}, ""},
		"file":  {build.Dependencies{Files: map[string][]byte{"pip.conf": []byte(conf)}}, nil, ""},
		"wrong": {build.Dependencies{Logins: []build.HostLogin{{Host: srv.URL[len("http://"):], Auth: build.Auth{Username: langtest.User, Password: "wrong"}}}},
			map[string]string{"PIP_INDEX_URL": srv.URL + "/simple/"}, "DependencyUnresolved"},
		"none": {build.Dependencies{}, map[string]string{"PIP_INDEX_URL": srv.URL + "/simple/"}, "DependencyUnresolved"},
	} {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			s := langtest.Source{
				Files: map[string]string{"main.py": "import ofn_left_4711\ndef hello(r):\n    return ofn_left_4711.text\n", "requirements.txt": "ofn-left-4711\n"},
				Env:   c.env, Dependencies: c.given, Work: work,
			}
			_, log, err := s.Compile(t, p)
			if err != nil {
				t.Log(log)
				log += err.Error()
			}
			langtest.Check(t, err, c.reason)
			if err != nil && !strings.Contains(err.Error(), "name a secret with its login") {
				t.Errorf("it does not say what may be missing: %v", err)
			}
			langtest.Forgotten(t, work, log)
		})
	}
}
