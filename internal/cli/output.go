package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// checkOutput refuses a format that a command does not have.
func checkOutput(format string, known ...string) error {
	if format == "" || slices.Contains(known, format) {
		return nil
	}
	return fmt.Errorf("-o %s is not known here; it is one of %s", format, strings.Join(known, ", "))
}

// show prints an object as -o says, or calls plain when it says nothing.
func (s *session) show(format string, o client.Object, plain func()) error {
	if format == "" {
		plain()
		return nil
	}
	gvk, err := apiutil.GVKForObject(o, s.Client.Scheme())
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if format == "name" {
		o.GetObjectKind().SetGroupVersionKind(gvk) // typed objects come without
		fmt.Fprintln(s.app.env.Out, identity(o))
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	content["apiVersion"], content["kind"] = gvk.GroupVersion().String(), gvk.Kind
	unstructured.RemoveNestedField(content, "metadata", "managedFields")
	return s.app.print(format, content)
}

// print writes a value as JSON or YAML.
func (a *app) print(format string, v any) error {
	if format == "json" {
		enc := json.NewEncoder(a.env.Out)
		enc.SetIndent("", "    ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	data, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	_, err = a.env.Out.Write(data)
	return err
}

// identity is an object as kubectl names it: "function.core.openfunction.io/hello".
func identity(o client.Object) string {
	gvk := o.GetObjectKind().GroupVersionKind()
	kind := strings.ToLower(gvk.Kind)
	if gvk.Group != "" {
		kind += "." + gvk.Group
	}
	return kind + "/" + o.GetName()
}
