package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/manifest"
)

// creation is what the flags of create say; they are those of the older command line.
type creation struct {
	from manifest.Sources

	image, version, credentials, runtime, builder string

	port                         int32
	env                          map[string]string
	gitURL, gitSubPath, revision string
	dryRun                       bool
	output                       string
}

func (a *app) createCommand() *cobra.Command {
	var c creation
	cmd := &cobra.Command{
		Use:   "create NAME | create -f FILE | create -k DIR",
		Short: "Make objects that do not exist yet",
		Long: `Make objects that do not exist yet: those of manifests, or a function from flags. ` + "`ofn apply` and `ofn deploy`" + ` also change
what exists.`,
		Example: "  ofn create hello --image ghcr.io/me/hello:v1 --builder openfunction/builder-go:latest --env FUNC_NAME=Hello \\\n    --git-repo-url https://github.com/me/functions.git --git-repo-source-sub-path hello",
		Args:    between(0, 1, "a name, -f or -k"),
	}
	f := cmd.Flags()
	bindSources(f, &c.from)
	f.StringVarP(&c.image, "image", "i", "", "image that is built, or that is run when there is no source")
	f.StringVarP(&c.version, "version", "v", "", "version label")
	f.StringVar(&c.credentials, "image-credentials", "", "secret with the registry's credentials")
	f.Int32Var(&c.port, "port", v1beta2.DefaultPort, "port the function listens on")
	f.StringVar(&c.runtime, "runtime", "", "knative or async; accepted as before, the triggers decide now")
	f.StringVar(&c.builder, "builder", "", "builder image (default with a repository: openfunction/builder-go:latest)")
	f.StringToStringVar(&c.env, "env", nil, "KEY=VALUE for the build; repeatable")
	f.StringVar(&c.gitURL, "git-repo-url", "", "git repository with the source")
	f.StringVar(&c.gitSubPath, "git-repo-source-sub-path", "", "directory inside the repository")
	f.StringVar(&c.revision, "git-repo-revision", "", "branch, tag or commit")
	f.BoolVar(&c.dryRun, "dry-run", false, "let the server check everything and change nothing")
	f.StringVarP(&c.output, "output", "o", "", "print the objects: json, yaml or name")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := checkOutput(c.output, "json", "yaml", "name"); err != nil {
			return err
		}
		docs, err := c.documents(a, args)
		if err != nil {
			return err
		}
		for _, doc := range docs {
			if err := s.create(ctx, doc, c.dryRun); err != nil {
				return err
			}
			if err := s.show(c.output, doc.Object, func() { fmt.Fprintf(a.env.Out, "%s created%s\n", identity(doc.Object), dryly(c.dryRun)) }); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func (s *session) create(ctx context.Context, doc manifest.Document, dryRun bool) error {
	where := func(err error) error {
		if doc.File == "" {
			return err
		}
		return fmt.Errorf("%s: %w", doc.Place, err)
	}
	if err := s.locate(doc.Object); err != nil {
		return where(err)
	}
	how := applying{dryRun: dryRun}
	if doc.File != "" {
		how.place = doc.Place.String()
	}
	if err := s.createObject(ctx, doc.Object, how); err != nil {
		return where(sourceless(doc.Object, doc.File, err))
	}
	return nil
}

func (c *creation) documents(a *app, args []string) ([]manifest.Document, error) {
	switch {
	case !c.from.None() && len(args) > 0:
		return nil, errors.New("give either a name, or -f or -k")
	case !c.from.None():
		return manifest.Read(c.from, a.env.In)
	case len(args) == 0:
		return nil, errors.New("say what to create: a name and flags, -f, or -k")
	case c.image == "":
		return nil, errors.New("a function needs --image: what the build makes, or what exists and is run")
	}
	o, err := c.function(args[0])
	return []manifest.Document{{Object: o}}, err
}

func (c *creation) function(name string) (*unstructured.Unstructured, error) {
	e := &edit{object: map[string]any{"apiVersion": v1beta2.GroupVersion.String(), "kind": "Function"}}
	e.set(name, "metadata", "name")
	e.set(c.image, "spec", "image")
	e.set(int64(c.port), "spec", "serving", "triggers", "http", "port")
	text := func(value string, path ...string) {
		if value != "" {
			e.set(value, path...)
		}
	}
	text(c.version, "spec", "version")
	text(c.credentials, "spec", "imageCredentials", "name")
	if c.gitURL != "" {
		e.set(c.gitURL, "spec", "build", "srcRepo", "url")
		text(c.gitSubPath, "spec", "build", "srcRepo", "sourceSubPath")
		text(c.revision, "spec", "build", "srcRepo", "revision")
		_, builder := builderFor("")
		if c.builder != "" {
			builder = c.builder
		}
		e.set(builder, "spec", "build", "builder")
		for k, v := range c.env {
			e.set(v, "spec", "build", "env", k)
		}
	} else if c.builder != "" || len(c.env) > 0 || c.gitSubPath != "" || c.revision != "" {
		return nil, errors.New("--builder, --env and --git-repo-* belong to a build, which needs --git-repo-url")
	}
	return &unstructured.Unstructured{Object: e.object}, e.err
}
