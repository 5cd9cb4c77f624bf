package kubeapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

func TestRestartRestoresEverything(t *testing.T) {
	dir := t.TempDir()
	options := Options{
		DataDir: dir,
		CRDs:    []*apiextensionsv1.CustomResourceDefinition{widgetCRD()},
		Objects: []runtime.Object{&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "defaults"},
			Data:       map[string]string{"a": "1"},
		}},
	}
	first := start(t, options)
	admin := administrator(t, first)
	ctx := t.Context()
	if _, err := admin.dynamic.Resource(widgets).Namespace("default").Create(ctx, widget("kept"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token := tokenOf(t, admin, "default", "default")
	maps := admin.CoreV1().ConfigMaps("openfunction")
	changed, err := maps.Patch(ctx, "defaults", "application/merge-patch+json", []byte(`{"data":{"a":"spoilt","b":"mine"}}`), metav1.PatchOptions{})
	if err != nil || changed.Data["a"] != "spoilt" {
		t.Fatalf("changing a default: %v, %v", changed.Data, err)
	}
	stop(t, first)

	second := start(t, options)
	admin = administrator(t, second)
	if _, err := admin.dynamic.Resource(widgets).Namespace("default").Get(ctx, "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	repaired, err := admin.CoreV1().ConfigMaps("openfunction").Get(ctx, "defaults", metav1.GetOptions{})
	if err != nil || repaired.Data["a"] != "1" || repaired.Data["b"] != "mine" {
		t.Errorf("defaults after a restart: %v, %v; want a repaired and b left alone", repaired.Data, err)
	}
	if err := authenticates(t, second, token); err != nil {
		t.Errorf("a service account token of before the restart: %v", err)
	}
}

// A CRD whose record says that nothing changed is skipped, one that was changed or removed behind our back is repaired.
func TestRestartRepairsDefinitions(t *testing.T) {
	options := Options{DataDir: t.TempDir(), CRDs: []*apiextensionsv1.CustomResourceDefinition{widgetCRD()}}
	generation := func(server *Server) int64 {
		crd, err := server.api.crds.Informers.Apiextensions().V1().CustomResourceDefinitions().Lister().Get("widgets.test.example.com")
		if err != nil {
			t.Fatal(err)
		}
		return crd.Generation
	}
	first := start(t, options)
	before := generation(first)
	patch := []byte(`[{"op":"replace","path":"/spec/names/shortNames","value":["wrong"]}]`)
	crds := administrator(t, first).dynamic.Resource(crdResource)
	if _, err := crds.Patch(t.Context(), "widgets.test.example.com", "application/json-patch+json", patch, metav1.PatchOptions{}); err != nil {
		patch = []byte(`[{"op":"add","path":"/spec/names/shortNames","value":["wrong"]}]`)
		if _, err := crds.Patch(t.Context(), "widgets.test.example.com", "application/json-patch+json", patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, first)

	options.CRDs[0].Spec.Names.ShortNames = []string{"wi"}
	second := start(t, options)
	live, err := second.api.crds.Informers.Apiextensions().V1().CustomResourceDefinitions().Lister().Get("widgets.test.example.com")
	if err != nil || len(live.Spec.Names.ShortNames) != 1 || live.Spec.Names.ShortNames[0] != "wi" {
		t.Errorf("short names %v, %v; want [wi]", live.Spec.Names.ShortNames, err)
	}
	if generation(second) <= before {
		t.Error("the definition was not applied")
	}
	if err := administrator(t, second).dynamic.Resource(crdResource).Delete(t.Context(), "widgets.test.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	stop(t, second)

	third := start(t, options)
	if _, err := administrator(t, third).dynamic.Resource(widgets).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("a removed definition was not installed again: %v", err)
	}
}

func TestDataDirectoryInUse(t *testing.T) {
	server := sharedServer(t)
	_, err := tryStart(t, Options{DataDir: server.options.DataDir})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("second start on one directory: %v; want a LockedError with pid %d", err, os.Getpid())
	}
	if !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || !strings.Contains(err.Error(), server.options.DataDir) {
		t.Errorf("%q names neither the directory nor the holder", err)
	}
}

func TestPortInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	_, err = tryStart(t, Options{DataDir: dir, Port: listener.Addr().(*net.TCPAddr).Port})
	var taken *PortError
	if !errors.As(err, &taken) || !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Fatalf("start on a port in use: %v; want a PortError naming %s", err, listener.Addr())
	}
	start(t, Options{DataDir: dir}) // the failed start gave the directory back
}

func TestBadOptions(t *testing.T) {
	dir := t.TempDir()
	for name, options := range map[string]Options{
		"no directory":       {},
		"a name to listen":   {DataDir: dir, BindAddress: "localhost"},
		"a port too high":    {DataDir: dir, Port: 70000},
		"handler of the API": {DataDir: dir, Handlers: testHandlersAt("/apis/mine/")},
		"handler, no slash":  {DataDir: dir, Handlers: testHandlersAt("/mine")},
	} {
		t.Run(name, func(t *testing.T) {
			if server, err := Start(t.Context(), options); err == nil {
				stop(t, server)
				t.Fatal("started")
			}
		})
	}
}

func TestUnusableDataDirectory(t *testing.T) {
	stopped := t.TempDir()
	stop(t, start(t, Options{DataDir: stopped}))
	for name, spoil := range map[string]func(dir string) error{
		"newer version": func(dir string) error { return os.WriteFile(filepath.Join(dir, "format"), []byte("99\n"), 0o600) },
		"damaged log": func(dir string) error {
			return overwrite(filepath.Join(dir, "etcd/member/wal/*.wal"), 64)
		},
		"damaged database": func(dir string) error {
			return overwrite(filepath.Join(dir, "etcd/member/snap/db"), 0)
		},
		"damaged token key": func(dir string) error { return os.WriteFile(filepath.Join(dir, "pki/sa.key"), []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(stopped)); err != nil {
				t.Fatal(err)
			}
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			server, err := tryStart(t, Options{DataDir: dir})
			if err == nil {
				stop(t, server)
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("%q does not name the directory", err)
			}
			if !strings.Contains(err.Error(), "damaged") && !strings.Contains(err.Error(), "newer") {
				t.Errorf("%q does not say what is wrong", err)
			}
		})
	}
}

// overwrite spoils 4 KiB of the files that match, from an offset on.
func overwrite(pattern string, offset int64) error {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("nothing matches %s: %w", pattern, err)
	}
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		garbage := []byte(strings.Repeat("garbage!", 1024))
		_, err = f.WriteAt(garbage, offset)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Every private file is for its owner alone.
func TestFileModes(t *testing.T) {
	server := sharedServer(t)
	err := filepath.WalkDir(server.options.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // etcd renames its files
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 && path != server.options.DataDir {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// serveUntilKilled is the child of TestKillKeepsAcknowledgedWrites: it prints the number of each write once it was acknowledged.
func serveUntilKilled(dir string) int {
	server, err := Start(context.Background(), Options{DataDir: dir, Port: AnyPort})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	client, err := kubernetes.NewForConfig(server.Config())
	for i := 0; err == nil; i++ {
		_, err = client.CoreV1().ConfigMaps("default").Create(context.Background(),
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("write-%d", i)}}, metav1.CreateOptions{})
		if err == nil {
			fmt.Println(i)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestKillKeepsAcknowledgedWrites(t *testing.T) {
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-kubeapi.serve", dir)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	const enough = 50
	acknowledged, lines := 0, bufio.NewScanner(stdout)
	for lines.Scan() {
		if acknowledged++; acknowledged == enough {
			if err := child.Process.Kill(); err != nil { // SIGKILL, in the middle of further writes
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || acknowledged < enough {
		t.Fatalf("the child ended by itself after %d writes: %v", acknowledged, err)
	}
	list, err := administrator(t, start(t, Options{DataDir: dir})).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, item := range list.Items {
		found[item.Name] = true
	}
	for i := range acknowledged {
		if name := fmt.Sprintf("write-%d", i); !found[name] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
}
