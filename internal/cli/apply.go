package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/manifest"
	"github.com/openfunction/ofn/internal/cli/progress"
)

func (a *app) applyCommand() *cobra.Command {
	var from manifest.Sources
	var wait, dryRun bool
	var timeout time.Duration
	var output string
	cmd := &cobra.Command{
		Use:   "apply -f FILE | apply -k DIR",
		Short: "Make or change objects of any kind as manifests say",
		Long: `Make or change objects of any kind as manifests say (server-side apply).

Every file may hold several documents. They are applied in their order; the first that is refused ends the command. Fields
that a kind does not have are left out with a warning.`,
		Example: "  ofn apply -f function.yaml --wait\n  ofn apply -k overlays/test",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	bindSources(f, &from)
	f.BoolVar(&wait, "wait", false, "wait until the functions among the objects are ready")
	f.DurationVar(&timeout, "timeout", 10*time.Minute, "how long --wait waits for one function")
	f.BoolVar(&dryRun, "dry-run", false, "let the server check everything and change nothing")
	f.StringVarP(&output, "output", "o", "", "print the objects: json, yaml or name")
	cmd.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		if err := errors.Join(needSources(from), checkOutput(output, "json", "yaml", "name")); err != nil {
			return err
		}
		docs, err := manifest.Read(from, a.env.In)
		if err != nil {
			return err
		}
		for _, doc := range docs {
			if err := s.apply(ctx, doc, dryRun); err != nil {
				return err
			}
			if err := s.show(output, doc.Object, func() { fmt.Fprintf(a.env.Out, "%s applied%s\n", identity(doc.Object), dryly(dryRun)) }); err != nil {
				return err
			}
		}
		if !wait || dryRun {
			return nil
		}
		return s.awaitAll(ctx, docs, timeout)
	})
	return cmd
}

// dryly is what the line about an object ends with: nothing was changed where only asked.
func dryly(dryRun bool) string {
	if dryRun {
		return " (dry run)"
	}
	return ""
}

func bindSources(f *pflag.FlagSet, from *manifest.Sources) {
	f.StringSliceVarP(&from.Files, "filename", "f", nil, "file or directory; - is the standard input; repeatable")
	f.BoolVarP(&from.Recursive, "recursive", "R", false, "read the directories below a directory too")
	f.StringVarP(&from.Kustomize, "kustomize", "k", "", "directory with a kustomization.yaml, instead of -f")
}

func needSources(from manifest.Sources) error {
	if from.None() {
		return errors.New("say what to read with -f: a file, a directory, or - for the standard input; or with -k: a directory with a kustomization.yaml")
	}
	return nil
}

// apply puts a document into effect; Object is what the server made of it.
func (s *session) apply(ctx context.Context, doc manifest.Document, dryRun bool) error {
	if err := s.locate(doc.Object); err != nil {
		return fmt.Errorf("%s: %w", doc.Place, err)
	}
	doc.Object.SetUID("") // a manifest that was read from a server, perhaps another one, says what should be, not which object it was
	doc.Object.SetResourceVersion("")
	if err := s.applyObject(ctx, doc.Object, applying{dryRun: dryRun, place: doc.Place.String()}); err != nil {
		return fmt.Errorf("%s: %w", doc.Place, sourceless(doc.Object, doc.File, err))
	}
	return nil
}

// locate gives an object without a namespace that of the command, when its kind has namespaces.
func (s *session) locate(o *unstructured.Unstructured) error {
	gvk := o.GroupVersionKind()
	mapping, err := s.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return nil
	}
	switch {
	case o.GetNamespace() == "":
		o.SetNamespace(s.Namespace)
	case s.NamespaceGiven && o.GetNamespace() != s.Namespace:
		return fmt.Errorf("%s is in namespace %s, but -n says %s", identity(o), o.GetNamespace(), s.Namespace)
	}
	return nil
}

// awaitAll waits for the functions one after the other; while one is waited for the others go on.
func (s *session) awaitAll(ctx context.Context, docs []manifest.Document, timeout time.Duration) error {
	failed := 0
	for _, doc := range docs {
		if gvk := doc.Object.GroupVersionKind(); gvk.Group != v1beta2.Group || gvk.Kind != "Function" {
			continue
		}
		display := progress.New(s.app.env.Err, s.app.env.Terminal, clock.RealClock{})
		display.Line("%s:", identity(doc.Object))
		fn, err := s.follow(ctx, display, awaited{key: keyOf(doc.Object), generation: doc.Object.GetGeneration(), timeout: timeout})
		display.Close()
		var code ExitCode
		switch {
		case errors.As(err, &code) && ctx.Err() == nil:
			failed++
		case err != nil:
			return err
		default:
			s.announce(fn)
		}
	}
	if failed > 0 {
		return ExitCode(1)
	}
	return nil
}
