package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/cli/fields"
)

// applying is how an object is put into effect.
type applying struct {
	dryRun bool
	place  string // where the object was written, for warnings; empty when it was made here
}

// applyObject makes the object what the server has of it (server-side apply).
func (s *session) applyObject(ctx context.Context, o *unstructured.Unstructured, how applying) error {
	o.SetManagedFields(nil) // of an object that was read from a server
	options := []client.PatchOption{client.FieldOwner(fieldManager), client.ForceOwnership}
	if how.dryRun {
		options = append(options, client.DryRunAll)
	}
	return s.lenient(ctx, o, how.place, func(validation client.FieldValidation) error {
		data, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", identity(o), err)
		}
		return s.Client.Patch(ctx, o, client.RawPatch(types.ApplyYAMLPatchType, data), append(slices.Clone(options), validation)...)
	})
}

func (s *session) createObject(ctx context.Context, o *unstructured.Unstructured, how applying) error {
	options := []client.CreateOption{client.FieldOwner(fieldManager)}
	if how.dryRun {
		options = append(options, client.DryRunAll)
	}
	return s.lenient(ctx, o, how.place, func(validation client.FieldValidation) error {
		return s.Client.Create(ctx, o, append(slices.Clone(options), validation)...)
	})
}

// lenient writes an object strictly, so that the server refuses fields that its kind does not have. These are then pruned
// here, by the schema that the server publishes: server-side apply would refuse them however lenient it is asked to be, and
// this way the user hears what was meant.
func (s *session) lenient(ctx context.Context, o *unstructured.Unstructured, place string, write func(client.FieldValidation) error) error {
	refused := write("Strict")
	if !mayBeFields(refused) {
		return refused
	}
	known, err := s.schemas(ctx, o.GroupVersionKind().GroupVersion())
	if err != nil {
		if apierrors.IsBadRequest(refused) && ctx.Err() == nil {
			return write("Warn") // a server that tells no schema has its own words for them
		}
		return refused
	}
	unknown := known.Prune(o.GroupVersionKind(), o.Object)
	if len(unknown) == 0 {
		return refused
	}
	if place != "" {
		place += ": "
	}
	for _, u := range unknown {
		fmt.Fprintf(s.app.env.Err, "Warning: %s%s\n", place, u)
	}
	return write("Warn")
}

// sourceless says what to do with a manifest that `ofn init` made: it leaves the source to deploy.
func sourceless(o *unstructured.Unstructured, file string, err error) error {
	e := &edit{object: o.Object}
	if !apierrors.IsInvalid(err) || o.GetKind() != "Function" || !e.has("spec", "build") {
		return err
	}
	if source, _, _ := unstructured.NestedMap(o.Object, "spec", "build", "srcRepo"); len(source) > 0 {
		return err
	}
	dir := "DIR"
	if file != "" && file != "-" {
		dir = argument(filepath.Dir(file))
	}
	return fmt.Errorf("%w; this manifest leaves its source to `ofn deploy %s`, which sends that directory", err, dir)
}

// mayBeFields tells errors that unknown fields can cause; server-side apply has no code of its own for them.
func mayBeFields(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) &&
		slices.Contains([]int32{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError}, status.Status().Code)
}

// schemas asks the server what it knows of the kinds of a group and version, once.
func (s *session) schemas(ctx context.Context, gv schema.GroupVersion) (*fields.Schemas, error) {
	if known := s.known[gv]; known != nil {
		return known, nil
	}
	path := "/openapi/v3/apis/" + gv.String()
	if gv.Group == "" {
		path = "/openapi/v3/api/" + gv.Version
	}
	document, err := raw(ctx, s.REST.Get().AbsPath(path))
	if err != nil {
		return nil, fmt.Errorf("asking for the schema of %s: %w", gv, err)
	}
	known, err := fields.Parse(document)
	if err != nil {
		return nil, err
	}
	if s.known == nil {
		s.known = map[schema.GroupVersion]*fields.Schemas{}
	}
	s.known[gv] = known
	return known, nil
}
