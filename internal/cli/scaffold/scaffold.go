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
	"strings"
	"text/template"
)

// Each directory is a template, each of its files ends in ".tmpl" so that it is neither compiled nor taken for a module.
//
//go:embed all:templates
var templates embed.FS

// Template is one that can be chosen.
type Template struct{ Name, Summary string }

// Templates lists them, the default first.
func Templates() []Template {
	return []Template{
		{"go-http", "a Go function func(http.ResponseWriter, *http.Request)"},
		{"go-cloudevent", "a Go function that takes CloudEvents"},
		{"go-openfunction", "a Go function with the OpenFunction context: requests, events and outputs"},
		{"go-main", "a complete Go program, served as it is"},
		{"node-http", "a JavaScript function (req, res), in the manner of Express"},
		{"node-cloudevent", "a JavaScript function that takes CloudEvents"},
		{"node-openfunction", "a JavaScript function with the OpenFunction context: requests, messages and outputs"},
		{"node-typescript", "a TypeScript function (req, res)"},
		{"python-http", "a Python function of a request, in the manner of Flask"},
		{"python-async", "a Python coroutine function of a request"},
		{"python-cloudevent", "a Python function that takes CloudEvents"},
		{"python-openfunction", "a Python function with the OpenFunction context: requests, events and outputs"},
	}
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
		path := filepath.Join(dir, f.name)
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
		if err := write(filepath.Join(dir, f.name), f.content); err != nil {
			return written, err
		}
		written = append(written, f.name)
	}
	return written, nil
}

type file struct {
	name    string
	content []byte
}

func render(name string, v Values) ([]file, error) {
	dir := "templates/" + name
	entries, err := templates.ReadDir(dir)
	if err != nil || strings.ContainsAny(name, "./") {
		var names []string
		for _, t := range Templates() {
			names = append(names, t.Name)
		}
		return nil, fmt.Errorf("there is no template %q; there are %s", name, strings.Join(names, ", "))
	}
	var out []file
	for _, e := range entries {
		t, err := template.New(e.Name()).ParseFS(templates, dir+"/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading template %s: %w", name, err)
		}
		var content bytes.Buffer
		if err := t.Execute(&content, v); err != nil {
			return nil, fmt.Errorf("filling template %s: %w", name, err)
		}
		out = append(out, file{strings.TrimSuffix(e.Name(), ".tmpl"), content.Bytes()})
	}
	return out, nil
}

// write never replaces a file, also not one that appeared a moment ago.
func write(path string, content []byte) error {
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
