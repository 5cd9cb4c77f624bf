// Package engine builds the engines that ofn works with from their Go modules and installs them, with the manifests of
// those modules, in a test cluster.
package engine

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Engine is one engine at one version.
type Engine struct {
	Module   string // the Go module it is built from
	Version  string
	Needs    []string // engines to install before
	Programs []Program
	Sources  []Source
	// Config is set in ConfigMaps of its manifests: name, then key.
	Config map[string]map[string]string
	// Args are more arguments for the first container of its Deployments, by their names.
	Args map[string][]string
	// Certificate, where set, is what its own installer would make.
	Certificate *Certificate
}

// Program is one package of the engine's module, or a program that a Python wheel brings, and the image made of it.
type Program struct {
	Package string // below the module: "cmd/controller"; or the file in the wheel
	Wheel   string // "NAME==VERSION"; the libraries that its program loads are in the image, too
	Image   string // what the manifests call the image, where that is not ko://MODULE/PACKAGE
	Path    string // where it lies in the image, where that is not /ko-app/NAME
	Git     bool   // whether git, ssh and git-lfs of this machine are in the image, too
	Tags    string // of the build
	Part    Part   // compiled without what it leaves out, where it names a folder
}

// Certificate is a serving certificate in a Secret, whose authority goes into the conversion webhooks of the CRDs.
type Certificate struct{ Namespace, Secret, Service string }

// Source is where manifests come from: files, a kustomization or a chart.
type Source struct {
	Module    string   // the module that holds them, at the version that the engine needs; the engine's own where empty
	Files     []string // globs
	Objects   string   // the manifests themselves
	Kustomize string   // a folder
	Chart     string   // a folder, rendered by Helm into Namespace
	Namespace string
	Values    []string
}

const registry = "dev.local"

func (e Engine) ref(p Program) string {
	if p.Image != "" {
		return p.Image
	}
	return "ko://" + path.Join(e.Module, p.Package)
}

func (p Program) path() string {
	if p.Path != "" {
		return p.Path
	}
	return "/ko-app/" + path.Base(p.Package)
}

// tag is the name under which an image is loaded: one that no registry has, so that nothing tries to pull it.
func (p Program) tag(engine, version string) string {
	if strings.HasPrefix(p.Image, registry+"/") {
		return p.Image
	}
	return fmt.Sprintf("%s/%s-%s:%s", registry, engine, strings.ReplaceAll(strings.TrimPrefix(p.Package, "cmd/"), "/", "-"), version)
}

// Names are the engines there are.
func Names() []string { return slices.Sorted(maps.Keys(catalogue())) }

// order returns names with what they need, each after what it needs.
func order(names []string) ([]string, error) {
	all := catalogue()
	var out []string
	var add func(name string) error
	add = func(name string) error {
		e, ok := all[name]
		if !ok {
			return fmt.Errorf("no engine is called %q: there are %s", name, strings.Join(Names(), ", "))
		}
		for _, need := range e.Needs {
			if err := add(need); err != nil {
				return err
			}
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func catalogue() map[string]Engine {
	return map[string]Engine{
		"knative": knative(), "keda": keda(), "http-add-on": httpAddOn(),
		"tekton": tekton(), "shipwright": shipwright(), "dapr": dapr(), "gateway": gateway(), "contour": contour(),
	}
}
