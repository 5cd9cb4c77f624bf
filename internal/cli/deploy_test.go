package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openfunction/ofn/internal/image/bundle"
	"github.com/openfunction/ofn/internal/image/unpack"
)

const functionPath = "/apis/core.openfunction.io/v1beta2/namespaces/default/functions/"

// spec is a field of a stored function.
func (f *fakeAPI) spec(t *testing.T, name string, path ...string) any {
	t.Helper()
	v := any(f.get(functionPath + name))
	for _, p := range append([]string{"spec"}, path...) {
		o, ok := v.(object)
		if !ok {
			return nil
		}
		v = o[p]
	}
	return v
}

// answersWith lets a controller answer the first change of a function with these statuses, one after the other.
func (f *fakeAPI) answersWith(statuses ...string) {
	f.changed = func(path string) {
		f.changed = nil
		for _, s := range statuses {
			o := f.get(path)
			o["status"] = parse(strings.ReplaceAll(s, "GENERATION", fmt.Sprint(o["metadata"].(object)["generation"])))
			f.store(path, o)
		}
	}
}

const building = `{observedGeneration: GENERATION, build: {state: Building, resourceRef: my-function-build-00001},
  conditions: [{type: Ready, status: Unknown, reason: Building, observedGeneration: GENERATION}]}`

const ready = `{observedGeneration: GENERATION, build: {state: Succeeded, resourceRef: my-function-build-00001, buildDuration: 1.2s},
  serving: {state: Running, resourceRef: my-function-00001}, latestReadyRevision: my-function-00001,
  traffic: [{revisionName: my-function-00001, percent: 100}],
  addresses: [{type: Internal, value: "http://in"}, {type: External, value: "http://my-function.default.localhost:8080/"}],
  conditions: [{type: Ready, status: "True", reason: Ready, observedGeneration: GENERATION}]}`

func TestDeployDirectory(t *testing.T) {
	f := newFakeAPI(t)
	f.extra = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/builders/my-function-build-00001/logs") {
			fmt.Fprint(w, "compiling\nlinking")
			return
		}
		http.NotFound(w, r)
	})
	f.answersWith(building, ready)
	dir := files(t, map[string]string{"hello.go": "package hello\n", "node_modules/x": "no", ".ofnignore": "node_modules\n"})
	out, errs, err := f.run(t, "deploy", dir, "--function", "Hello", "--param", "A=b", "--max-scale", "3", "--port", "9000")
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	if want := "http://my-function.default.localhost:8080/\n"; out != want {
		t.Errorf("output is %q, want %q", out, want)
	}
	for _, want := range []string{"packed and sent 2 files", "  │ compiling\n  │ linking\n", "built in 1.2s", "revision my-function-00001 is ready"} {
		if !strings.Contains(errs, want) {
			t.Errorf("progress misses %q:\n%s", want, errs)
		}
	}
	for _, c := range []struct {
		want any
		path string
	}{
		{"ofn.local/default/my-function:latest", "image"},
		{"openfunction/builder-go:latest", "build.builder"},
		{"Hello", "build.env.FUNC_NAME"},
		{"b", "serving.params.A"},
		{3.0, "serving.scaleOptions.maxReplicas"},
		{9000.0, "serving.triggers.http.port"},
	} {
		if got := f.spec(t, "my-function", strings.Split(c.path, ".")...); got != c.want {
			t.Errorf("%s is %v, want %v", c.path, got, c.want)
		}
	}
	f.checkBundle(t, fmt.Sprint(f.spec(t, "my-function", "build", "srcRepo", "bundleContainer", "image")))
}

// checkBundle pulls what the manifest names as a builder would.
func (f *fakeAPI) checkBundle(t *testing.T, image string) {
	t.Helper()
	rest, ok := strings.CutPrefix(image, "ofn.local/default/my-function-source@sha256:")
	if !ok {
		t.Fatalf("bundle is %q", image)
	}
	ref, err := name.NewDigest(strings.TrimPrefix(f.URL, "http://") + "/default/my-function-source@sha256:" + rest)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithAuth(authn.Anonymous))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := bundle.Unpack(t.Context(), img, dir, unpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "hello.go")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err == nil {
		t.Error("an ignored directory was packed")
	}
}

func TestDeployFailure(t *testing.T) {
	f := newFakeAPI(t)
	f.answersWith(building, `{observedGeneration: GENERATION, build: {state: Failed, resourceRef: my-function-build-00001, reason: CompileError},
  conditions: [{type: Ready, status: "False", reason: CompileError, message: "hello.go:7:2: undefined: foo\n", observedGeneration: GENERATION}]}`)
	out, errs, err := f.run(t, "deploy", files(t, map[string]string{"hello.go": "package hello\n"}))
	var code ExitCode
	if !errors.As(err, &code) || code != 1 || out != "" {
		t.Fatalf("err %v, output %q", err, out)
	}
	for _, want := range []string{"was not built: CompileError", "\n  hello.go:7:2: undefined: foo\n", "`ofn logs my-function --build`", "`ofn describe my-function`"} {
		if !strings.Contains(errs, want) {
			t.Errorf("message misses %q:\n%s", want, errs)
		}
	}
}

func TestDeployOfBrokenRevisionSaysWhatAnswers(t *testing.T) {
	f := newFakeAPI(t)
	f.answersWith(`{observedGeneration: GENERATION, build: {state: Skipped}, serving: {state: Failed, resourceRef: x-00002}, latestReadyRevision: x-00001,
  traffic: [{revisionName: x-00001, percent: 100}],
  conditions: [{type: Ready, status: "False", reason: PortClosed, message: "nothing listens on 8080", observedGeneration: GENERATION}]}`)
	_, errs, err := f.run(t, "deploy", "--image", "example.com/x:v2", "--name", "x")
	if !errors.Is(err, ExitCode(1)) {
		t.Fatal(err)
	}
	for _, want := range []string{"revision x-00002 failed: PortClosed", "nothing listens on 8080", "the traffic stays with x-00001 (100%)", "ofn logs x --revision x-00002"} {
		if !strings.Contains(errs, want) {
			t.Errorf("message misses %q:\n%s", want, errs)
		}
	}
}

func TestDeployManifest(t *testing.T) {
	const base = `# base
apiVersion: v1
kind: Secret
metadata: {name: s}
---
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: named}
spec:
  image: me/named:v1
  build:
    builder: me/builder
    env:
    srcRepo: {url: https://example.com/x.git, revision: main, sourceSubPath: sub}
  serving:
    triggers: {http: {port: 3000}}
`
	for _, c := range []struct {
		name string
		args []string
		want map[string]any
	}{
		{"the directory is the source", []string{}, map[string]any{"build.srcRepo.url": nil, "build.srcRepo.sourceSubPath": nil, "build.builder": "me/builder", "image": "me/named:v1", "serving.triggers.http.port": 3000.0}},
		{"an empty section takes a value", []string{"--env", "K=v"}, map[string]any{"build.env.K": "v"}},
		{"flags win", []string{"--image", "me/other:v2", "--port", "4000", "--min-scale", "1", "--concurrency", "5"}, map[string]any{"image": "me/other:v2",
			"serving.triggers.http.port": 4000.0, "serving.scaleOptions.minReplicas": 1.0, "serving.scaleOptions.containerConcurrency": 5.0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeAPI(t)
			dir := files(t, map[string]string{"a.go": "package a\n", "function.yaml": base})
			if _, errs, err := f.run(t, append([]string{"deploy", dir, "--no-wait"}, c.args...)...); err != nil {
				t.Fatalf("%v\n%s", err, errs)
			}
			for path, want := range c.want {
				if got := f.spec(t, "named", strings.Split(path, ".")...); got != want {
					t.Errorf("%s is %v, want %v", path, got, want)
				}
			}
			if f.get("/api/v1/namespaces/default/secrets/s") == nil {
				t.Error("the secret of the manifest was not applied")
			}
		})
	}
}

func TestDeployOldVersion(t *testing.T) {
	f := newFakeAPI(t)
	dir := files(t, map[string]string{"a.go": "package a\n", "function.yaml": `apiVersion: core.openfunction.io/v1beta1
kind: Function
metadata: {name: old}
spec:
  image: me/old:v1
  port: 3000
  build: {builder: b, srcRepo: {url: https://example.com/x.git}}
  serving: {runtime: knative}
`})
	if _, errs, err := f.run(t, "deploy", dir, "--no-wait"); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	if got := f.spec(t, "old", "serving", "triggers", "http", "port"); got != 3000.0 {
		t.Errorf("port is %v", got)
	}
}

func TestDeployGit(t *testing.T) {
	f := newFakeAPI(t)
	_, errs, err := f.run(t, "deploy", "--git", "https://example.com/me/My_Functions.git", "--revision", "v1", "--sub-path", "a/hello", "--credentials", "s", "--no-wait")
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	for path, want := range map[string]any{"url": "https://example.com/me/My_Functions.git", "revision": "v1", "sourceSubPath": "a/hello"} {
		if got := f.spec(t, "hello", "build", "srcRepo", path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

func TestDeployRefusals(t *testing.T) {
	dir := files(t, map[string]string{"a.go": "package a\n"})
	above := files(t, map[string]string{"README.md": "", "one/function.yaml": "", "two/function.yaml": "", "three/a.go": ""})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{filepath.Join(dir, "a.go")}, "is neither a directory"},
		{[]string{filepath.Join(dir, "none")}, "no such file"},
		{[]string{dir, "--git", "https://x/y"}, "not both"},
		{[]string{dir, "--revision", "v1"}, "--revision belongs to --git"},
		{[]string{dir, "--name", "Not_Good"}, `"Not_Good" cannot name a function`},
		{[]string{"--image", "x"}, "--name"},
		{[]string{dir, "-o", "xml"}, "-o xml is not known"},
		{[]string{"--image", "refused", "--name", "x", "--no-wait"}, "spec.image: Invalid value"},
		{[]string{"--image", "x", "--name", "x", "--env", "A=b"}, "nothing is built here"},
		{[]string{t.TempDir(), "--name", "x"}, "is empty"},
		{[]string{above}, "deploy one of " + filepath.Join(above, "one") + ", " + filepath.Join(above, "two")},
	} {
		f := newFakeAPI(t)
		_, _, err := f.run(t, append([]string{"deploy"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("deploy %v: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestDeployWithoutRegistry(t *testing.T) {
	f := newFakeAPI(t)
	f.noSource = true
	_, _, err := f.run(t, "deploy", files(t, map[string]string{"a.go": "package a\n"}))
	if err == nil || !strings.Contains(err.Error(), "--git") || !strings.Contains(err.Error(), "--image") {
		t.Error(err)
	}
}

// On a cluster the source goes to the registry of the image, with the login of the user, and the build gets the one of the image.
func TestDeployToACluster(t *testing.T) {
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	}))
	defer private.Close()
	host := strings.TrimPrefix(private.URL, "http://")
	f := newFakeAPI(t)
	f.version, f.noSource = "v1.33.0", true
	dir := files(t, map[string]string{"a.go": "package a\n"})
	docker := t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{dir}, "--image registry.example.com/team/my-function"},
		{[]string{"--git", "https://git.example.com/x.git", "--name", "x"}, "--image registry.example.com/team/x"},
		{[]string{dir, "--image", "ofn.local/default/x"}, "registry of one machine"},
		{[]string{dir, "--image", host + "/team/x:v1"}, "docker login " + host},
		{[]string{dir, "--image", host + "/Team/x:v1"}, "reading the image"},
	} {
		if _, _, err := f.run(t, append([]string{"deploy", "--no-wait"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("deploy %v: %v, want %q", c.args, err, c.want)
		}
	}
	login := base64.StdEncoding.EncodeToString([]byte("ada:s3cret"))
	if err := os.WriteFile(filepath.Join(docker, "config.json"), fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, host, login), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, err := f.run(t, "deploy", "--no-wait", dir, "--image", host+"/team/x:v1", "--push-secret", "login", "--share", "shop")
	if err != nil || !strings.Contains(errs, "one machine only") {
		t.Fatalf("%v\n%s", err, errs)
	}
	source, err := name.ParseReference(fmt.Sprint(f.spec(t, "my-function", "build", "srcRepo", "bundleContainer", "image")))
	if err != nil {
		t.Fatal(err)
	}
	auth := remote.WithAuth(&authn.Basic{Username: "ada", Password: "s3cret"})
	tagged, err := remote.Head(source.Context().Tag("v1-source"), auth)
	if err != nil || source.Identifier() != tagged.Digest.String() || source.Context().Name() != host+"/team/x" {
		t.Errorf("the source is %s, the tag names %+v (%v)", source, tagged, err)
	}
	for path, want := range map[string]string{"image": host + "/team/x:v1", "imageCredentials.name": "login", "build.srcRepo.credentials.name": "login"} {
		if got := f.spec(t, "my-function", strings.Split(path, ".")...); got != want {
			t.Errorf("%s is %v, want %s", path, got, want)
		}
	}
}

// A cluster may say where images go, and which registries have no TLS; then the command is that of one machine.
func TestDeployToAClusterThatNamesARegistry(t *testing.T) {
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer images.Close()
	host := strings.TrimPrefix(images.URL, "http://")
	f := newFakeAPI(t)
	f.version, f.noSource = "v1.33.0", true
	dir := files(t, map[string]string{"a.go": "package a\n"})
	f.put(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: ofn-clients, namespace: openfunction}, data: {registry: "+host+"/functions, insecure-registry: \"other:1,"+host+"\"}}")
	for args, image := range map[string]string{"": host + "/functions/default/my-function:latest", "--image=" + host + "/team/x:v1": host + "/team/x:v1",
		"--image=ofn.local/named:v2": host + "/functions/default/named:v2", "--image=ofn.local/default/named": host + "/functions/default/named"} {
		command := []string{"deploy", "--no-wait", dir}
		if args != "" {
			command = append(command, args)
		}
		if _, errs, err := f.run(t, command...); err != nil {
			t.Fatalf("%v\n%s", err, errs)
		}
		repository, _, _ := strings.Cut(image[len(host):], ":")
		bundle := fmt.Sprint(f.spec(t, "my-function", "build", "srcRepo", "bundleContainer", "image"))
		if got := f.spec(t, "my-function", "image"); got != image || !strings.HasPrefix(bundle, host+repository+"@sha256:") {
			t.Errorf("deploy %s: the image is %v, the source %s", args, got, bundle)
		}
	}
	if _, _, err := f.run(t, "deploy", "--no-wait", "--git", "https://git.example.com/x.git", "--name", "x"); err != nil {
		t.Error(err)
	}
	if got := f.spec(t, "x", "image"); got != host+"/functions/default/x:latest" {
		t.Errorf("the image of what is built from git is %v", got)
	}
	if _, _, err := f.run(t, "deploy", "--no-wait", "--image", "example.com/ready:1", "--name", "ready"); err != nil || f.spec(t, "ready", "image") != "example.com/ready:1" {
		t.Errorf("an image that exists: %v, %v", f.spec(t, "ready", "image"), err)
	}
}

func TestDeployInterrupted(t *testing.T) {
	f := newFakeAPI(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.changed = func(string) { cancel() }
	env, _, errs := f.environment(t, "")
	root := New(env)
	root.SetArgs([]string{"deploy", "--image", "x", "--name", "x", "-n", "blue"})
	err := root.ExecuteContext(ctx)
	// The answer of the write may or may not have arrived when the command is interrupted.
	if !errors.Is(err, ExitCode(130)) && (err == nil || !strings.Contains(err.Error(), "interrupted")) {
		t.Fatal(err, errs)
	}
	if errors.Is(err, ExitCode(130)) && !strings.Contains(errs.String(), "goes on; follow it with `ofn get x -n blue -w`") {
		t.Errorf("%s", errs)
	}
}

func TestDeployOutputs(t *testing.T) {
	for format, want := range map[string]string{"name": "function.core.openfunction.io/x\n", "yaml": "apiVersion: core.openfunction.io/v1beta2\nkind: Function\n", "json": "{\n    \"apiVersion\""} {
		f := newFakeAPI(t)
		f.answersWith(ready)
		out, errs, err := f.run(t, "deploy", "--image", "x", "--name", "x", "-o", format)
		if err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("%s: %v\n%s\n%s", format, err, out, errs)
		}
	}
}

func TestDeployTimeout(t *testing.T) {
	for limit := 50 * time.Millisecond; ; limit *= 10 {
		f := newFakeAPI(t)
		f.answersWith(building)
		_, errs, err := f.run(t, "deploy", "--image", "x", "--name", "x", "--timeout", limit.String())
		if strings.Contains(errs, "nothing is known of it") && limit < time.Minute {
			continue // a busy machine may take longer for the first answer than for anything
		}
		if !errors.Is(err, ExitCode(1)) || !strings.Contains(errs, fmt.Sprintf("is not ready after %s: Building. It goes on", limit)) {
			t.Errorf("%v\n%s", err, errs)
		}
		return
	}
}

func TestDeployAfterRollbackSaysThatTrafficStays(t *testing.T) {
	f := newFakeAPI(t)
	f.answersWith(strings.ReplaceAll(ready, "traffic: [{revisionName: my-function-00001", "traffic: [{revisionName: my-function-00000"))
	_, errs, err := f.run(t, "deploy", "--image", "x", "--name", "my-function")
	if err != nil || !strings.Contains(errs, "the traffic stays with my-function-00000 (100%); send it to my-function-00001 with `ofn traffic my-function --latest`") {
		t.Errorf("%v\n%s", err, errs)
	}
}

func TestRebuildWaitsForANewBuild(t *testing.T) {
	f := newFakeAPI(t)
	f.put(t, `{apiVersion: core.openfunction.io/v1beta2, kind: Function, metadata: {name: my-function}, spec: {image: x, build: {builder: b}},
 status: `+strings.ReplaceAll(ready, "GENERATION", "1")+`}`)
	second := strings.ReplaceAll(ready, "build-00001", "build-00002")
	f.answersWith(strings.ReplaceAll(building, "build-00001", "build-00002"), second)
	begin := time.Now()
	_, errs, err := f.run(t, "rebuild", "my-function", "--wait", "--timeout", "5m")
	if err != nil || !strings.Contains(errs, "built in 1.2s (my-function-build-00002)") {
		t.Errorf("%v after %s\n%s", err, time.Since(begin), errs)
	}
	if a := f.get(functionPath + "my-function")["metadata"].(object)["annotations"].(object); a["openfunction.io/rebuild"] == nil {
		t.Error("the annotation is missing")
	}
}
