// Package scaffold makes the directory of a new function from a template.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/openfunction/ofn/internal/cli/fields"
)

// Each directory is a template, each of its files ends in ".tmpl" so that it is neither compiled nor taken for a module.
//
//go:embed all:templates
var templates embed.FS

// Template is one that can be chosen.
type Template struct {
	Name      string `json:"name"`
	Language  string `json:"language"`  // "Go"
	Signature string `json:"signature"` // http, cloudevent, openfunction, typed, several, or server for a complete program
	Summary   string `json:"description"`
}

// Templates lists them, the default first, those of a language together.
func Templates() []Template {
	return []Template{
		{"go-http", "Go", "http", "a Go function func(http.ResponseWriter, *http.Request)"},
		{"go-cloudevent", "Go", "cloudevent", "a Go function that takes CloudEvents"},
		{"go-typed", "Go", "typed", "a Go function from a JSON value to a JSON value"},
		{"go-openfunction", "Go", "openfunction", "a Go function with the OpenFunction context: requests, events and outputs"},
		{"go-several", "Go", "several", "several Go functions in one application, each with a path and methods"},
		{"go-wasm", "Go", "http", "a Go function func(http.ResponseWriter, *http.Request), as a WebAssembly module"},
		{"go-main", "Go", "server", "a complete Go program, served as it is"},
		{"node-http", "JavaScript", "http", "a JavaScript function (req, res), in the manner of Express"},
		{"node-cloudevent", "JavaScript", "cloudevent", "a JavaScript function that takes CloudEvents"},
		{"node-openfunction", "JavaScript", "openfunction", "a JavaScript function with the OpenFunction context: requests, messages and outputs"},
		{"node-typescript", "TypeScript", "http", "a TypeScript function (req, res)"},
		{"python-http", "Python", "http", "a Python function of a request, in the manner of Flask"},
		{"python-async", "Python", "http", "a Python coroutine function of a request"},
		{"python-cloudevent", "Python", "cloudevent", "a Python function that takes CloudEvents"},
		{"python-openfunction", "Python", "openfunction", "a Python function with the OpenFunction context: requests, events and outputs"},
		{"java-http", "Java", "http", "a Java function of a request and a response, built with Maven"},
		{"java-cloudevent", "Java", "cloudevent", "a Java function that takes CloudEvents"},
		{"java-openfunction", "Java", "openfunction", "a Java function with the OpenFunction context: requests, events and outputs"},
		{"rust-http", "Rust", "http", "a Rust function of a request"},
		{"rust-cloudevent", "Rust", "cloudevent", "a Rust function that takes CloudEvents"},
		{"rust-typed", "Rust", "typed", "a Rust function from a JSON value to a JSON value"},
		{"rust-openfunction", "Rust", "openfunction", "a Rust function with the OpenFunction context"},
		{"rust-wasm", "Rust", "http", "a Rust function of a request, as a WebAssembly module"},
		{"server-procfile", "any server", "http", "a server with a Procfile that says how it is started"},
		{"server-watchdog", "any server", "http", "a script behind the contract of OpenFaaS's watchdog, run for each call"},
		{"server-lambda", "any server", "http", "a Go function for AWS Lambda, unchanged"},
		{"server-cgi", "any server", "http", "a script of CGI"},
	}
}

// near are the templates that somebody may have meant: one that is spelled alike, and those that share a word of the name.
func near(name string) []string {
	var all, out []string
	for _, t := range Templates() {
		all = append(all, t.Name)
	}
	if alike := fields.Nearest(name, all); alike != "" {
		out = append(out, alike)
	}
	for _, t := range Templates() {
		words := append(strings.Split(t.Name, "-"), strings.ToLower(t.Language))
		shared := slices.ContainsFunc(strings.Split(strings.ToLower(name), "-"), func(w string) bool { return slices.Contains(words, w) })
		if shared && !slices.Contains(out, t.Name) {
			out = append(out, t.Name)
		}
	}
	return out
}

// Values fill a template.
type Values struct{ Name string }

// Write makes dir and the files of a template in it. When one of them exists already nothing is written.
func Write(dir, name string, v Values) ([]string, error) {
	files, err := render(name, v)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.name))
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s exists already; nothing was written. Choose another directory", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("looking for %s: %w", path, err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory: %w", err)
	}
	var written []string
	for _, f := range files {
		if err := write(filepath.Join(dir, filepath.FromSlash(f.name)), f.content); err != nil {
			return written, err
		}
		written = append(written, f.name)
	}
	return written, nil
}

type file struct {
	name    string // slash-separated
	content []byte
}

func render(name string, v Values) ([]file, error) {
	if !slices.ContainsFunc(Templates(), func(t Template) bool { return t.Name == name }) {
		meant := "`ofn init --list` shows those there are"
		if n := near(name); len(n) > 0 {
			meant = "did you mean " + strings.Join(n, ", ") + "? `ofn init --list` shows all"
		}
		return nil, fmt.Errorf("there is no template %q; %s", name, meant)
	}
	dir := "templates/" + name
	var out []file
	err := fs.WalkDir(templates, dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		t, err := template.ParseFS(templates, at)
		if err != nil {
			return err
		}
		var content bytes.Buffer
		if err := t.Execute(&content, v); err != nil {
			return err
		}
		out = append(out, file{strings.TrimSuffix(strings.TrimPrefix(at, dir+"/"), ".tmpl"), content.Bytes()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("filling template %s: %w", name, err)
	}
	return out, nil
}

// write never replaces a file, also not one that appeared a moment ago.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the function: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("writing the function: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the function: %w", err)
	}
	return nil
}
