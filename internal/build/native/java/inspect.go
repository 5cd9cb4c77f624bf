package java

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// choice is what of the classes is served.
type choice struct {
	target string   // the class of the function; empty: all of them
	index  []string // the classes of all functions that can be served
	kinds  []string // the signatures of the target
	main   string   // instead of functions: the class of a program
	whole  bool     // the program is the jar of the whole
}

// maxFound is much more than any application has functions.
const maxFound = 32 << 20

// inspect looks for functions and programs in the classes, without running any of them.
func (l *Java) inspect(ctx context.Context, j *job) error {
	result := filepath.Join(j.Work, "found.json")
	path := append([]string{filepath.Join(j.frame, frameworkJar)}, j.made.classes...)
	path = append(append(path, j.made.jars...), filepath.Join(j.frame, eventsJar))
	args := append([]string{j.kit.tool("java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", strings.Join(path, ":"), l.opts.Names.Inspect, result}, existing(j.made.classes)...)
	code, said, err := l.run(ctx, j, step{args: args, sees: []string{j.frame}, quiet: true})
	if err != nil {
		return err
	}
	if code != 0 {
		return lang.Failure("ClassesInvalid", "the classes cannot be read: %s", said)
	}
	data, err := lang.ReadMade(j.Work, result, maxFound)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &j.found); err != nil {
		return fmt.Errorf("reading what is in the classes: %w", err)
	}
	return j.choose()
}

func existing(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !exists(n) })
}

// choose decides what is served.
func (j *job) choose() error {
	for _, f := range j.found.Functions {
		if f.Problem == "" {
			j.chosen.index = append(j.chosen.index, f.Class)
		}
	}
	switch {
	case j.Env.Name != "":
		return j.named()
	case len(j.found.Functions) == 1:
		return j.take(0)
	case len(j.found.Functions) > 1:
		return j.several()
	}
	return j.program()
}

// named finds the function of FUNC_NAME: a class, or the end of its name.
func (j *job) named() error {
	name := strings.TrimSuffix(j.Env.Name, ".class")
	var hits []int
	for i, f := range j.found.Functions {
		if f.Class == name {
			return j.take(i)
		}
		if strings.HasSuffix(f.Class, "."+name) || strings.HasSuffix(f.Class, "$"+name) {
			hits = append(hits, i)
		}
	}
	switch {
	case len(hits) == 1:
		return j.take(hits[0])
	case len(hits) > 1:
		return lang.Failure("FunctionAmbiguous", "FUNC_NAME is %q, which %s are called: give the whole name", j.Env.Name, strings.Join(j.classes(), ", "))
	}
	for _, b := range j.found.Broken {
		if b.Class == name || strings.HasSuffix(b.Class, "."+name) {
			return lang.Failure("ClassBroken", "the class %s cannot be loaded: %s", b.Class, b.Error)
		}
	}
	if slices.Contains(j.found.Mains, name) && len(j.found.Functions) == 0 {
		j.chosen.main = name
		return nil
	}
	return j.noFunction(name)
}

func (j *job) noFunction(name string) error {
	there := "there is no class that implements HttpFunction, CloudEventFunction, OpenFunction or TypedFunction of dev.openfunction.functions"
	if len(j.found.Functions) > 0 {
		there = "there are: " + strings.Join(j.classes(), ", ")
	}
	if j.hasClass(name) {
		return lang.Failure("SignatureMismatch", "the class %s is no function: it must implement HttpFunction, CloudEventFunction, OpenFunction or TypedFunction of dev.openfunction.functions; %s", name, there)
	}
	return lang.Failure("FunctionNotFound", "there is no function %s; %s", name, there)
}

// hasClass tells whether a class of this name was compiled.
func (j *job) hasClass(name string) bool {
	simple := name[strings.LastIndex(name, ".")+1:] + ".class"
	for _, dir := range j.made.classes {
		hit := false
		_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error { // what cannot be read is not there
			hit = hit || err == nil && d.Name() == simple
			return nil
		})
		if hit {
			return true
		}
	}
	return false
}

func (j *job) classes() []string {
	var names []string
	for _, f := range j.found.Functions {
		names = append(names, f.Class)
	}
	return names
}

func (j *job) take(i int) error {
	f := j.found.Functions[i]
	if f.Problem != "" {
		return lang.Failure("SignatureMismatch", "the function %s %s: give it one", f.Class, f.Problem)
	}
	want := strings.ToLower(j.Env.Signature)
	if want != "" && !slices.Contains(f.Kinds, want) {
		return lang.Failure("SignatureMismatch", "FUNC_TYPE is %q, but %s has the signature %s: let it implement the interface of %s, or leave FUNC_TYPE out",
			j.Env.Signature, f.Class, strings.Join(f.Kinds, ", "), want)
	}
	j.chosen.target, j.chosen.kinds = f.Class, f.Kinds
	if want != "" {
		j.chosen.kinds = []string{want}
	}
	fmt.Fprintf(j.Log, "found %s (%s)\n", f.Class, j.chosen.kinds[0])
	return nil
}

// several serves all functions when all have a path of their own.
func (j *job) several() error {
	for _, f := range j.found.Functions {
		switch {
		case f.Problem != "":
			return lang.Failure("SignatureMismatch", "the function %s %s: give it one, or name the one to serve with FUNC_NAME", f.Class, f.Problem)
		case !f.Routable:
			return lang.Failure("FunctionAmbiguous", "there are several functions: %s; name one with FUNC_NAME, or let each extend Routable with a path of its own to serve them together", strings.Join(j.classes(), ", "))
		}
		fmt.Fprintf(j.Log, "found %s (%s)\n", f.Class, f.Kinds[0])
	}
	return nil
}

// program finds what is a server of its own.
func (j *job) program() error {
	if j.made.server != "" {
		class, err := mainClass(j.Work, j.made.server)
		if err != nil {
			return lang.Failure("ClassesInvalid", "%s is no jar: %v", filepath.Base(j.made.server), err)
		}
		if class != "" {
			j.chosen.main, j.chosen.whole = class, true
			fmt.Fprintf(j.Log, "serving the program %s as it is: it must listen on the port in PORT\n", class)
			return nil
		}
	}
	switch len(j.found.Mains) {
	case 1:
		j.chosen.main = j.found.Mains[0]
		fmt.Fprintf(j.Log, "serving the program %s as it is: it must listen on the port in PORT\n", j.chosen.main)
		return nil
	case 0:
		text := "there is neither a class that implements HttpFunction, CloudEventFunction, OpenFunction or TypedFunction of dev.openfunction.functions, nor a program with main"
		for _, b := range j.found.Broken {
			text += fmt.Sprintf("\n%s cannot be loaded: %s", b.Class, b.Error)
		}
		return &build.Failure{Reason: "FunctionNotFound", Message: text}
	}
	return lang.Failure("FunctionAmbiguous", "there are several programs: %s; name the one to run with FUNC_NAME", strings.Join(j.found.Mains, ", "))
}
