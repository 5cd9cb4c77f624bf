package install_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/config"
	"github.com/openfunction/ofn/internal/install"
)

// TestChart holds the chart to what `ofn install` applies. Where helm is there it renders the chart; elsewhere the few functions of its
// templates that the chart uses are played here.
func TestChart(t *testing.T) {
	for _, scope := range []string{"", "team-a"} {
		objects, err := install.Manifests{Files: config.Files, Image: "registry.example.com/ofn:v1", Scope: scope, Gateway: true}.Objects()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{}
		for _, o := range objects {
			if o.GetKind() != "Namespace" {
				add(want, o)
			}
		}
		for name, rendered := range map[string]string{"played": played(t, scope), "helm": helm(t, scope)} {
			if rendered == "" {
				continue
			}
			got := map[string]any{}
			for text := range strings.SplitSeq(rendered, "\n---\n") {
				o := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
					t.Fatal(err)
				}
				if o.GetKind() != "" {
					add(got, o)
				}
			}
			for k := range want {
				if !reflect.DeepEqual(got[k], want[k]) {
					t.Errorf("%s, scope %q: %s is\n%v\nof the chart, and\n%v\nof the kustomization", name, scope, k, got[k], want[k])
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s, scope %q: the chart has %d objects, the kustomization %d", name, scope, len(got), len(want))
			}
		}
	}
}

// add puts an object into a set, without what is the installer's own.
func add(to map[string]any, o *unstructured.Unstructured) {
	labels := o.GetLabels()
	for _, l := range []string{"app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"} {
		delete(labels, l)
	}
	o.SetLabels(labels)
	annotations := o.GetAnnotations()
	delete(annotations, "helm.sh/resource-policy")
	o.SetAnnotations(annotations)
	if o.GetKind() == "Deployment" {
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		delete(containers[0].(map[string]any), "imagePullPolicy")
		_ = unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers")
	}
	data, err := json.Marshal(o.Object)
	if err != nil {
		panic(err)
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		panic(err)
	}
	to[o.GetNamespace()+" "+install.Identity(o)] = plain
}

const chart = "../../charts/ofn"

// helm renders the chart with helm; empty where there is none.
func helm(t *testing.T, scope string) string {
	t.Helper()
	path, err := exec.LookPath("helm")
	if err != nil {
		return ""
	}
	out, err := exec.Command(path, "template", "ofn", chart, "--namespace", "openfunction", "--kube-version", "1.33.0",
		"--set", "image.repository=registry.example.com/ofn,image.tag=v1,namespaceScope="+scope).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// files are what templates know as .Files.
type files struct{ fs.FS }

// Get is empty for a file that is not there, as Helm's.
func (f files) Get(name string) string {
	data, err := fs.ReadFile(f.FS, name)
	if err != nil {
		return ""
	}
	return string(data)
}

func played(t *testing.T, scope string) string {
	t.Helper()
	values := map[string]any{}
	read(t, chart+"/values.yaml", &values)
	values["image"] = map[string]any{"repository": "registry.example.com/ofn", "tag": "v1", "pullPolicy": "IfNotPresent"}
	values["namespaceScope"] = scope
	var about struct{ Name, Version, AppVersion string }
	read(t, chart+"/Chart.yaml", &about)
	text, err := os.ReadFile(chart + "/templates/operator.yaml")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := template.New("operator").Funcs(helmFunctions()).Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	err = parsed.Execute(&b, map[string]any{
		"Values": values, "Files": files{os.DirFS(chart)}, "Chart": about,
		"Release": map[string]any{"Namespace": "openfunction", "Service": "Helm", "Name": "ofn"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err == nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// helmFunctions play those of Helm that the chart uses.
func helmFunctions() template.FuncMap {
	return template.FuncMap{
		"fromYaml":      func(s string) (out map[string]any, err error) { return out, yaml.Unmarshal([]byte(s), &out) },
		"fromYamlArray": func(s string) (out []any, err error) { return out, yaml.Unmarshal([]byte(s), &out) },
		"toYaml": func(v any) (string, error) {
			data, err := yaml.Marshal(v)
			return strings.TrimSuffix(string(data), "\n"), err
		},
		"list":   func(v ...any) []any { return v },
		"append": func(l any, v any) []any { return append(append([]any{}, l.([]any)...), v) },
		"dict": func(kv ...any) map[string]any {
			out := map[string]any{}
			for i := 0; i+1 < len(kv); i += 2 {
				out[fmt.Sprint(kv[i])] = kv[i+1]
			}
			return out
		},
		"set": func(m map[string]any, k string, v any) map[string]any { m[k] = v; return m },
		"default": func(d, v any) any {
			if v == nil || reflect.ValueOf(v).IsZero() {
				return d
			}
			return v
		},
		"splitList":       func(sep, s string) []string { return strings.Split(s, sep) },
		"trimPrefix":      func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
		"regexReplaceAll": func(expr, s, by string) string { return regexp.MustCompile(expr).ReplaceAllString(s, by) },
		"required": func(says string, v any) (any, error) {
			if v == nil || v == "" {
				return nil, errors.New(says)
			}
			return v, nil
		},
		"fail": func(says string) (string, error) { return "", errors.New(says) },
	}
}
