package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/cli/manifest"
)

// removal is what the flags of delete say.
type removal struct {
	from                     manifest.Sources
	all, everyNS             bool
	selector, fields, output string
	ignoreMissing, dryRun    bool
	grace                    int64
}

func (a *app) deleteCommand() *cobra.Command {
	var r removal
	cmd := &cobra.Command{
		Use:   "delete [KIND] [NAME...]",
		Short: "Delete objects: by name, by label, or those of manifests",
		Long: `Delete objects: by name, by label, or those of manifests. With a function its builds and revisions go.

A name without a kind is a function's.`,
		Example:           "  ofn delete hello\n  ofn delete -f function.yaml --ignore-not-found\n  ofn delete fn --all",
		ValidArgsFunction: a.completeGet,
	}
	f := cmd.Flags()
	bindSources(f, &r.from)
	f.BoolVar(&r.all, "all", false, "all of the kind in the namespace")
	f.BoolVarP(&r.everyNS, "all-namespaces", "A", false, "with --all or -l: in all namespaces")
	f.StringVarP(&r.selector, "selector", "l", "", "those with these labels")
	f.StringVar(&r.fields, "field-selector", "", "those with these fields")
	f.BoolVar(&r.ignoreMissing, "ignore-not-found", false, "what does not exist is no error")
	f.BoolVar(&r.dryRun, "dry-run", false, "only say what would be deleted")
	f.Int64Var(&r.grace, "grace-period", -1, "seconds that what runs gets to end; -1 is its own")
	f.StringVarP(&r.output, "output", "o", "", "name prints names alone")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := checkOutput(r.output, "name"); err != nil {
			return err
		}
		victims, err := s.victims(ctx, &r, args)
		if err != nil {
			return err
		}
		for _, v := range victims {
			if err := s.remove(ctx, &r, v); err != nil {
				return noSuchKind(args, err)
			}
		}
		if len(victims) == 0 {
			fmt.Fprintln(a.env.Err, "there is nothing to delete")
		}
		return nil
	})
	return cmd
}

// victims are the objects that the arguments mean, by name and kind.
func (s *session) victims(ctx context.Context, r *removal, args []string) ([]*unstructured.Unstructured, error) {
	if !r.from.None() {
		if len(args) > 0 || r.all || r.selector != "" || r.fields != "" {
			return nil, errors.New("-f or -k says what to delete; leave names, --all, -l and --field-selector out")
		}
		docs, err := manifest.Read(r.from, s.app.env.In)
		if err != nil {
			return nil, err
		}
		var out []*unstructured.Unstructured
		for _, doc := range docs {
			if err := s.locate(doc.Object); err != nil {
				return nil, fmt.Errorf("%s: %w", doc.Place, err)
			}
			out = append(out, doc.Object)
		}
		return out, nil
	}
	res, names, err := resourceAndNames(args)
	switch bulk := r.all || r.selector != "" || r.fields != ""; {
	case err != nil:
		return nil, err
	case len(names) == 0 && !bulk:
		return nil, errors.New("say what to delete: names, --all, -l, -f or -k")
	case len(names) > 0 && bulk:
		return nil, errors.New("give either names, or --all, -l or --field-selector")
	case bulk:
		return s.selected(ctx, r, res)
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		o := res.object()
		o.SetNamespace(s.Namespace)
		o.SetName(name)
		out = append(out, o)
	}
	return out, nil
}

func (r resource) object() *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: r.group, Version: r.version, Kind: r.kind})
	return o
}

func (s *session) selected(ctx context.Context, r *removal, res resource) ([]*unstructured.Unstructured, error) {
	byLabel, err := labels.Parse(r.selector)
	if err != nil {
		return nil, fmt.Errorf("-l %s: %w", r.selector, err)
	}
	byField, err := fields.ParseSelector(r.fields)
	if err != nil {
		return nil, fmt.Errorf("--field-selector %s: %w", r.fields, err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: res.group, Version: res.version, Kind: res.kind + "List"})
	options := &client.ListOptions{LabelSelector: byLabel, FieldSelector: byField, Namespace: s.Namespace}
	if r.everyNS {
		options.Namespace = ""
	}
	if err := s.Client.List(ctx, list, options); err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out, nil
}

func (s *session) remove(ctx context.Context, r *removal, o *unstructured.Unstructured) error {
	options := []client.DeleteOption{client.PropagationPolicy("Background")}
	if r.grace >= 0 {
		options = append(options, client.GracePeriodSeconds(r.grace))
	}
	if r.dryRun {
		options = append(options, client.DryRunAll)
	}
	err := s.Client.Delete(ctx, o, options...)
	switch {
	case apierrors.IsNotFound(err) && r.ignoreMissing:
		return nil
	case err != nil:
		return err
	case r.output == "name":
		fmt.Fprintln(s.app.env.Out, identity(o))
	case r.dryRun:
		fmt.Fprintf(s.app.env.Out, "%s would be deleted\n", identity(o))
	default:
		fmt.Fprintf(s.app.env.Out, "%s deleted\n", identity(o))
	}
	return nil
}
