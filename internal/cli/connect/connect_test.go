package connect

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func kubeconfig(t *testing.T, path, server, namespace string) string {
	t.Helper()
	content := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"" + server + "\"}}]\n" +
		"contexts: [{name: c, context: {cluster: c, namespace: \"" + namespace + "\"}}, {name: d, context: {cluster: c, namespace: d}}]\ncurrent-context: c\n"
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestChoice(t *testing.T) {
	dir := t.TempDir()
	flag := kubeconfig(t, filepath.Join(dir, "flag"), "http://flag:1", "f")
	env := kubeconfig(t, filepath.Join(dir, "env"), "http://env:1", "e")
	data := filepath.Join(dir, "data")
	kubeconfig(t, filepath.Join(data, "control", "kubeconfig"), "http://data:1", "")
	kubeconfig(t, filepath.Join(dir, ".kube", "config"), "http://home:1", "h")
	all := Options{Kubeconfig: flag, EnvKubeconfig: env + string(filepath.ListSeparator) + filepath.Join(dir, "missing"), DataDir: data, Home: dir, Warnings: io.Discard}
	for _, c := range []struct {
		name              string
		change            func(*Options)
		server, namespace string
		local, given      bool
	}{
		{"the flag first", func(*Options) {}, "http://flag:1", "f", false, false},
		{"another context", func(o *Options) { o.Context = "d" }, "http://flag:1", "d", false, false},
		{"another namespace", func(o *Options) { o.Namespace = "n" }, "http://flag:1", "n", false, true},
		{"then the environment", func(o *Options) { o.Kubeconfig = "" }, "http://env:1", "e", false, false},
		{"then that of ofn up", func(o *Options) { o.Kubeconfig, o.EnvKubeconfig = "", "" }, "http://data:1", "default", true, false},
		{"then the user's", func(o *Options) { o.Kubeconfig, o.EnvKubeconfig, o.DataDir = "", "", "" }, "http://home:1", "h", false, false},
		{"a server needs no kubeconfig", func(o *Options) { o.Kubeconfig, o.Server, o.Token = "", "https://server:1", "t" }, "https://server:1", "default", false, false},
	} {
		o := all
		c.change(&o)
		got, err := Open(o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.URL.Scheme+"://"+got.URL.Host != c.server || got.Namespace != c.namespace || got.Local != c.local || got.NamespaceGiven != c.given {
			t.Errorf("%s: %s %s local %v given %v", c.name, got.URL, got.Namespace, got.Local, got.NamespaceGiven)
		}
	}
}

func TestNone(t *testing.T) {
	if _, err := Open(Options{Home: t.TempDir(), Warnings: io.Discard}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if _, err := Open(Options{Kubeconfig: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}
