//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	pythonframework "github.com/openfunction/ofn/framework/python"
)

const (
	pythonHello = "def hello(request):\n    return \"hello\"\n\n\nasync def hello_async(request):\n    return \"hello\"\n"
	// pythonBare is what uvicorn, the usual server, needs at least: an application without any framework.
	pythonBare = `async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


if __name__ == "__main__":
    import os
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), loop="asyncio", http="httptools", lifespan="off", access_log=False, log_level="error")
`
	// pythonPeer is installed beside what the framework requires, so that both use the same parser.
	pythonPeer = "uvicorn==0.54.0"
)

// python measures a function against uvicorn with httptools; the function is named hello, or hello_async for a coroutine.
func python(name, function string) language {
	return language{name: name, ratio: 1, memory: 15, prepare: func(dir string) (ours, bare program, err error) {
		out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
		if err != nil {
			return ours, bare, fmt.Errorf("python3: %w", err)
		}
		interpreter := strings.TrimSpace(string(out))
		files := map[string][]byte{"hello.py": []byte(pythonHello), "bare.py": []byte(pythonBare), "requirements.txt": pythonframework.Requirements()}
		for name, text := range pythonframework.Source() {
			files["framework/"+name] = text
		}
		for name, text := range files {
			at := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				return ours, bare, err
			}
			if err := os.WriteFile(at, text, 0o644); err != nil {
				return ours, bare, fmt.Errorf("writing %s: %w", name, err)
			}
		}
		site := filepath.Join(dir, "site")
		for _, what := range [][]string{{"--no-deps", "-r", filepath.Join(dir, "requirements.txt")}, {pythonPeer}} {
			pip := exec.Command(interpreter, append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", site}, what...)...)
			if out, err := pip.CombinedOutput(); err != nil {
				return ours, bare, fmt.Errorf("pip: %w\n%s", err, out)
			}
		}
		env := []string{"PYTHONPATH=" + filepath.Join(dir, "framework") + ":" + site, "FUNCTION_SOURCE=" + filepath.Join(dir, "hello.py"), "FUNCTION_TARGET=" + function}
		ours = program{args: []string{interpreter, "-S", "-m", "functions_framework"}, env: env}
		bare = program{args: []string{interpreter, "-S", filepath.Join(dir, "bare.py")}, env: env}
		return ours, bare, nil
	}}
}
