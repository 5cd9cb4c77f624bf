//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/openfunction/ofn/framework/nodejs"
)

const (
	nodeHello = "exports.hello = (req, res) => res.send('hello');\n"
	nodeBare  = `require('node:http').createServer((req, res) => {
  const body = Buffer.from('hello');
  res.setHeader('Content-Type', 'text/html; charset=utf-8');
  res.setHeader('Content-Length', body.length);
  res.end(body);
}).listen(process.env.PORT);
`
)

func node() language {
	return language{name: "node", ratio: 0.7, memory: 45, prepare: func(dir string) (ours, bare program, err error) {
		interpreter, err := exec.LookPath("node")
		if err != nil {
			return ours, bare, err
		}
		files := map[string][]byte{"hello.js": []byte(nodeHello), "bare.js": []byte(nodeBare)}
		for name, text := range nodejs.Files() {
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
		env := []string{"FUNCTION_SOURCE=" + filepath.Join(dir, "hello.js"), "FUNCTION_TARGET=hello", "NODE_ENV=production"}
		ours = program{args: []string{interpreter, filepath.Join(dir, "framework/cli.js")}, env: env}
		bare = program{args: []string{interpreter, filepath.Join(dir, "bare.js")}, env: env}
		return ours, bare, nil
	}}
}
