package buildtest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

func writeTree(dir string, files map[string][]byte) error {
	for name, data := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func checkImage(t *testing.T, images *Images, res build.Result, ds []directive) {
	t.Helper()
	if !strings.HasPrefix(res.Digest, "sha256:") || res.Size <= 0 {
		t.Fatalf("result is %+v", res)
	}
	if len(res.Sources) != 1 || res.Sources[0].Name != "default" {
		t.Errorf("sources are %+v", res.Sources)
	}
	c, err := images.Config(res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if c.Config.User == "" || strings.HasPrefix(c.Config.User, "0") || len(c.Config.Entrypoint) == 0 {
		t.Errorf("runs %v as user %q", c.Config.Entrypoint, c.Config.User)
	}
	content, err := images.Files(res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	run := ""
	for _, d := range ds {
		_, has := content[d.rest]
		switch {
		case d.word == "file" && !has:
			t.Errorf("%s is not in the image", d.rest)
		case d.word == "nofile" && has:
			t.Errorf("%s is in the image", d.rest)
		case d.word == "get" || d.word == "post":
			if run == "" {
				run = start(t, content[strings.TrimPrefix(c.Config.Entrypoint[0], "/")], c.Config.Env)
			}
			ask(t, run, d)
		}
	}
}

// start runs a program until the test ends and returns its address.
func start(t *testing.T, program []byte, env []string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "function")
	if err := os.WriteFile(file, program, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(file)
	cmd.Env = append(env, "PORT="+port, "CONTEXT_MODE=self-host",
		fmt.Sprintf(`FUNC_CONTEXT={"name":"test","version":"v1","runtime":"Knative","port":%q}`, port))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the program said:\n%s", out.String())
		}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return "http://" + addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("the program does not listen: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func ask(t *testing.T, base string, d directive) {
	t.Helper()
	path, want, _ := strings.Cut(d.rest, " ")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
	if d.word == "post" {
		var in string
		in, want, _ = strings.Cut(want, " ")
		req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(in))
	}
	if err != nil {
		t.Fatal(err)
	}
	if d.word == "post" {
		for k, v := range map[string]string{"Ce-Id": "1", "Ce-Source": "test", "Ce-Type": "test", "Ce-Specversion": "1.0", "Content-Type": "application/json"} {
			req.Header.Set(k, v)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("asking the program: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 || strings.TrimSpace(string(body)) != want {
		t.Errorf("%s %s answered %d %q, want %q", req.Method, path, resp.StatusCode, body, want)
	}
}
