package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

// Unknown fields are pruned also where a cluster refuses them, and the user hears what they may have meant.
func TestUnknownFields(t *testing.T) {
	const odd = "apiVersion: core.openfunction.io/v1beta2\nkind: Function\nmetadata: {name: NAME}\nspec: {image: x, odd: 1, imag: y}\n"
	const warned = "Warning: standard input:1 (document 1): spec.imag: unknown field, pruned; did you mean image?\n" +
		"Warning: standard input:1 (document 1): spec.odd: unknown field, pruned\n"
	f := newFakeAPI(t)
	for _, command := range []string{"apply", "create"} {
		out, errs, err := f.runWith(t, strings.ReplaceAll(odd, "NAME", command), command, "-f", "-")
		stored := f.get("/apis/core.openfunction.io/v1beta2/namespaces/default/functions/" + command)
		if err != nil || errs != warned || stored == nil || len(stored["spec"].(object)) != 1 {
			t.Errorf("%s: %v\n%s\n%s\n%v", command, err, out, errs, stored)
		}
	}
	f.noSchema = true
	if _, _, err := f.runWith(t, strings.ReplaceAll(odd, "NAME", "fn"), "apply", "-f", "-"); err == nil || !strings.Contains(err.Error(), "field not declared in schema") {
		t.Errorf("without a schema what the server says must be told: %v", err)
	}
	if _, errs, err := f.runWith(t, strings.ReplaceAll(odd, "NAME", "fn"), "create", "-f", "-"); err != nil || !strings.Contains(errs, `Warning: unknown field "spec.odd"`) {
		t.Errorf("without a schema the server prunes: %v\n%s", err, errs)
	}
}

func TestKustomize(t *testing.T) {
	dir := files(t, map[string]string{
		"kustomization.yaml": "namePrefix: test-\nresources: [function.yaml]\n",
		"function.yaml":      "apiVersion: core.openfunction.io/v1beta2\nkind: Function\nmetadata: {name: fn}\nspec: {image: x}\n",
	})
	f := newFakeAPI(t)
	for _, step := range []struct{ command, want string }{
		{"create", "function.core.openfunction.io/test-fn created\n"},
		{"apply", "function.core.openfunction.io/test-fn applied\n"},
		{"delete", "function.core.openfunction.io/test-fn deleted\n"},
	} {
		if out, errs, err := f.run(t, step.command, "-k", dir); err != nil || out != step.want {
			t.Errorf("%s -k: %v\n%s\n%s", step.command, err, out, errs)
		}
	}
}

func TestGetOlderVersion(t *testing.T) {
	f := newFakeAPI(t)
	f.put(t, "apiVersion: core.openfunction.io/v1beta1\nkind: Function\nmetadata: {name: fn}\nspec: {image: old}\n")
	f.put(t, "apiVersion: core.openfunction.io/v1beta2\nkind: Function\nmetadata: {name: fn}\nspec: {image: new}\n")
	for kind, want := range map[string]string{
		"functions.v1beta1.core.openfunction.io": "image: old", "fn.v1beta2.core.openfunction.io": "image: new", "functions.core.openfunction.io": "image: new",
		"Functions": "image: new",
	} {
		if out, _, err := f.run(t, "get", kind, "fn", "-o", "yaml"); err != nil || !strings.Contains(out, want) {
			t.Errorf("get %s: %v\n%s", kind, err, out)
		}
	}
}

func TestApplyOfDeploysBase(t *testing.T) {
	dir := files(t, map[string]string{"function.yaml": "apiVersion: core.openfunction.io/v1beta2\nkind: Function\nmetadata: {name: fn}\nspec: {image: refused, build: {builder: native, srcRepo: {}}}\n"})
	for _, command := range []string{"apply", "create"} {
		_, _, err := newFakeAPI(t).run(t, command, "-f", filepath.Join(dir, "function.yaml"))
		if want := "`ofn deploy " + dir + "`"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", command, err, want)
		}
	}
}
