package kubeapi

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// heard collects the warnings of a server.
type heard struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (h *heard) HandleWarningHeader(_ int, _, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts = append(h.texts, text)
}

// listening is a client of widgets whose warnings are heard.
func listening(t *testing.T) (dynamic.ResourceInterface, *heard) {
	t.Helper()
	config, warnings := rest.CopyConfig(administrator(t, sharedServer(t)).config), &heard{}
	config.WarningHandler = warnings
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.Resource(widgets).Namespace("default"), warnings
}

// All verbs that take an object treat unknown fields alike; server-side apply would refuse them by itself.
func TestUnknownFields(t *testing.T) {
	const typo = `{"apiVersion":"test.example.com/v1","kind":"Widget","metadata":{"name":"NAME","labelz":{"a":"b"}},"spec":{"colour":"blue","size":9007199254740993}}`
	wanted := []string{`unknown field "metadata.labelz"`, `unknown field "spec.colour"`}
	type write func(ctx context.Context, c dynamic.ResourceInterface, name, validation string) (*unstructured.Unstructured, error)
	object := func(name string) string { return strings.ReplaceAll(typo, "NAME", name) }
	patch := func(kind types.PatchType, options metav1.PatchOptions) write {
		return func(ctx context.Context, c dynamic.ResourceInterface, name, validation string) (*unstructured.Unstructured, error) {
			options.FieldValidation = validation
			return c.Patch(ctx, name, kind, []byte(object(name)), options)
		}
	}
	verbs := map[string]write{
		"create": func(ctx context.Context, c dynamic.ResourceInterface, name, validation string) (*unstructured.Unstructured, error) {
			o := &unstructured.Unstructured{}
			if err := json.Unmarshal([]byte(object(name)), o); err != nil {
				return nil, err
			}
			return c.Create(ctx, o, metav1.CreateOptions{FieldValidation: validation})
		},
		"apply": patch(types.ApplyYAMLPatchType, metav1.PatchOptions{FieldManager: "test"}),
	}
	for verb, write := range verbs {
		for _, validation := range []string{"", metav1.FieldValidationWarn, metav1.FieldValidationIgnore, metav1.FieldValidationStrict} {
			name := strings.ToLower("unknown-" + verb + "-by-" + validation + "x")
			c, warnings := listening(t)
			got, err := write(t.Context(), c, name, validation)
			if validation == metav1.FieldValidationStrict {
				if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), wanted[0]) || !strings.Contains(err.Error(), wanted[1]) {
					t.Errorf("%s with %s: %v", verb, validation, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s with %q: %v", verb, validation, err)
				continue
			}
			if size := field(t, got, "spec", "size"); size != int64(9007199254740993) {
				t.Errorf("%s with %q: size %v", verb, validation, size)
			}
			if field(t, got, "spec", "colour") != nil || field(t, got, "metadata", "labelz") != nil {
				t.Errorf("%s with %q: %v", verb, validation, got)
			}
			slices.Sort(warnings.texts)
			if validation == metav1.FieldValidationIgnore {
				if len(warnings.texts) > 0 {
					t.Errorf("%s with %s: warned %q", verb, validation, warnings.texts)
				}
			} else if !slices.Equal(warnings.texts, wanted) {
				t.Errorf("%s with %q: warned %q; want %q", verb, validation, warnings.texts, wanted)
			}
		}
	}
}

// What the pruner cannot judge goes on to the server as it came.
func TestApplyLeavesTheRestToTheServer(t *testing.T) {
	c, warnings := listening(t)
	for name, body := range map[string]string{
		"no YAML":                "{",
		"no object":              "null",
		"a list":                 "[]",
		"another version":        `{"apiVersion":"test.example.com/v1beta1","kind":"Widget","metadata":{"name":"rest"},"spec":{"color":"red"}}`,
		"metadata without sense": `{"apiVersion":"test.example.com/v1","kind":"Widget","metadata":7}`,
		"too large":              `{"apiVersion":"test.example.com/v1","kind":"Widget","metadata":{"name":"rest"},"spec":{"color":"` + strings.Repeat("x", 3<<20) + `"}}`,
	} {
		if _, err := c.Patch(t.Context(), "rest", types.ApplyYAMLPatchType, []byte(body), metav1.PatchOptions{FieldManager: "test"}); err == nil {
			t.Errorf("%s: accepted", name)
		} else if apierrors.IsTooManyRequests(err) || name == "too large" && !apierrors.IsRequestEntityTooLargeError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	status := `{"apiVersion":"test.example.com/v1","kind":"Widget","status":{"ready":true,"redy":true}}`
	if _, err := c.Apply(t.Context(), "rest", widget("rest"), metav1.ApplyOptions{FieldManager: "test"}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Patch(t.Context(), "rest", types.ApplyYAMLPatchType, []byte(status), metav1.PatchOptions{FieldManager: "status"}, "status")
	if err != nil || field(t, got, "status", "ready") != true || field(t, got, "status", "redy") != nil {
		t.Errorf("status: %v, %v", got, err)
	}
	if want := []string{`unknown field "status.redy"`}; !slices.Equal(warnings.texts, want) {
		t.Errorf("warned %q; want %q", warnings.texts, want)
	}
}
