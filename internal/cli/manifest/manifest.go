// Package manifest reads YAML and JSON files with any number of Kubernetes objects, and says of each where it came from.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// maxBytes bounds one file; an object cannot be larger than a few megabytes anyway.
const maxBytes = 64 << 20

// Place is where an object was written.
type Place struct {
	File     string // "-" for the standard input
	Document int    // 1 for the first of the file
	Line     int    // of the document's first line, from 1
}

// String is for messages.
func (p Place) String() string {
	file := p.File
	if file == "-" {
		file = "standard input"
	}
	return fmt.Sprintf("%s:%d (document %d)", file, p.Line, p.Document)
}

// Document is one object of a file.
type Document struct {
	Place
	Object *unstructured.Unstructured
}

// Read gives the objects of files and directories in the order given; those of a directory in the order of their names.
// "-" is in. Directories below a directory are read only when recursive.
func Read(from Sources, in io.Reader) ([]Document, error) {
	if err := from.Check(); err != nil {
		return nil, err
	}
	if from.Kustomize != "" {
		return kustomize(from.Kustomize)
	}
	var out []Document
	for _, path := range from.Files {
		docs, err := read(path, from.Recursive, in)
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no object in it; what is read ends in .yaml, .yml or .json", strings.Join(from.Files, ", "))
	}
	return out, nil
}

func read(path string, recursive bool, in io.Reader) ([]Document, error) {
	if path == "-" {
		return readFrom("-", in)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return readFile(path)
	}
	var out []Document
	err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && at != path && !recursive:
			return fs.SkipDir
		case d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(at)):
			return nil
		}
		docs, err := readFile(at)
		out = append(out, docs...)
		return err
	})
	return out, err
}

func readFile(path string) ([]Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFrom(path, f)
}

func readFrom(name string, r io.Reader) ([]Document, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("%s is larger than %d MiB: that is no manifest", name, maxBytes>>20)
	}
	return Parse(name, data)
}

// Parse reads the documents of one file. Empty ones and those of comments only are left out; a List gives its items.
func Parse(name string, data []byte) ([]Document, error) {
	var out []Document
	for _, part := range split(data) {
		place := Place{File: name, Document: part.number, Line: part.line}
		object, err := decode(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if object == nil {
			continue
		}
		docs, err := expand(Document{Place: place, Object: object})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		out = append(out, docs...)
	}
	return out, nil
}

type part struct {
	number, line int
	text         []byte
}

// split cuts at the lines that begin with "---".
func split(data []byte) []part {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	parts := []part{{number: 1, line: 1}}
	line := 0
	for text := range bytes.Lines(data) {
		line++
		last := &parts[len(parts)-1]
		if marker := bytes.TrimRight(text, " \t\r\n"); string(marker) != "---" && !bytes.HasPrefix(text, []byte("--- ")) {
			last.text = append(last.text, text...)
			continue
		}
		if blank(last.text) {
			last.line, last.text = line+1, nil // nothing but comments before the marker
			continue
		}
		parts = append(parts, part{number: last.number + 1, line: line + 1})
	}
	return parts
}

func blank(text []byte) bool {
	for line := range bytes.Lines(text) {
		if t := bytes.TrimSpace(line); len(t) > 0 && t[0] != '#' {
			return false
		}
	}
	return true
}

// decode is nil for a document without content.
func decode(p part) (*unstructured.Unstructured, error) {
	if blank(p.text) {
		return nil, nil
	}
	var content map[string]any
	if err := yaml.UnmarshalStrict(p.text, &content); err != nil {
		// Once more behind as many empty lines as stand before it, so that the line numbers are those of the file.
		padded := append(bytes.Repeat([]byte("\n"), p.line-1), p.text...)
		if again := yaml.UnmarshalStrict(padded, &content); again != nil {
			err = again
		}
		return nil, fmt.Errorf("this is not valid YAML: %s%s", reason(err), excerpt(padded, err))
	}
	if content == nil {
		return nil, nil
	}
	data, err := yaml.YAMLToJSON(p.text)
	if err != nil {
		return nil, fmt.Errorf("this is not valid YAML: %s", reason(err))
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(withKind(data, content)); err != nil { // keeps whole numbers whole
		return nil, err
	}
	return object, check(content)
}

// withKind lets an object without a kind be decoded, so that check can say what is missing.
func withKind(data []byte, content map[string]any) []byte {
	if kind, ok := content["kind"].(string); ok && kind != "" {
		return data
	}
	return []byte(`{"kind":"?"}`)
}

func check(content map[string]any) error {
	for _, field := range []string{"apiVersion", "kind"} {
		if s, ok := content[field].(string); !ok || s == "" {
			return fmt.Errorf("the object has no %s", field)
		}
	}
	if strings.HasSuffix(content["kind"].(string), "List") {
		return nil
	}
	metadata, _ := content["metadata"].(map[string]any)
	for _, field := range []string{"name", "generateName"} {
		if s, ok := metadata[field].(string); ok && s != "" {
			return nil
		}
	}
	return errors.New("the object has no metadata.name")
}

// reason is the parser's message without the names of the layers it came through.
func reason(err error) string {
	s := err.Error()
	for _, prefix := range []string{"error converting YAML to JSON: ", "error unmarshaling JSON: ", "while decoding JSON: ", "yaml: ", "unmarshal errors:\n"} {
		s = strings.TrimPrefix(s, prefix)
	}
	return strings.TrimSpace(s)
}

var lineNumber = regexp.MustCompile(`line (\d+)`)

// excerpt shows the lines that an error of the parser is about: the one it names and the next, because of some errors it
// names the line before.
func excerpt(text []byte, err error) string {
	found := lineNumber.FindStringSubmatch(err.Error())
	if found == nil {
		return ""
	}
	first, err := strconv.Atoi(found[1])
	if err != nil {
		return ""
	}
	var b strings.Builder
	number := 0
	for line := range bytes.Lines(text) {
		if number++; number >= first && number <= first+1 {
			fmt.Fprintf(&b, "\n  %4d | %s", number, bytes.TrimRight(line[:min(len(line), 200)], "\r\n"))
		}
	}
	return b.String()
}

func expand(d Document) ([]Document, error) {
	if !d.Object.IsList() {
		return []Document{d}, nil
	}
	var out []Document
	err := d.Object.EachListItem(func(o runtime.Object) error {
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("a list of %T", o)
		}
		out = append(out, Document{Place: d.Place, Object: u})
		return check(u.Object)
	})
	return out, err
}
