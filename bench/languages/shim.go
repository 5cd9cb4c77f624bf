//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// upstream is the program that the shim stands before, and its own peer.
const upstream = `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "hello")
	})
	if err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil); err != nil {
		panic(err)
	}
}
`

// watchdog measures the contract of the watchdog, mode=http, before a server of Go. Its settings say whether connections are relayed
// or calls are passed on one by one. The processor time of ours is that of both processes.
func watchdog(name string, ratio float64, settings ...string) language {
	return language{name: name, ratio: ratio, memory: 10, prepare: func(dir string) (ours, bare program, err error) {
		server, shim := filepath.Join(dir, "server"), filepath.Join(dir, "ofn-shim")
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(upstream), 0o600); err != nil {
			return ours, bare, err
		}
		for out, from := range map[string]string{server: filepath.Join(dir, "main.go"), shim: "github.com/openfunction/ofn/framework/shim/ofn-shim"} {
			if said, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, from).CombinedOutput(); err != nil {
				return ours, bare, fmt.Errorf("building: %w: %s", err, said)
			}
		}
		// Ports that the system gives are above 32768: the program's is one below.
		start := []string{"/bin/sh", "-c", `upstream_url=http://127.0.0.1:$((PORT - 20000)) exec "$0" watchdog`, shim}
		return program{args: start, env: append([]string{"fprocess=" + server, "mode=http"}, settings...)}, program{args: []string{server}}, nil
	}}
}
