package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/export"
)

// exporting are the flags of `ofn export`.
type exporting struct {
	export.Options
	target                  string
	to, output              string
	all, everywhere, images bool
	plainHTTP               bool
	dryRun, strict          bool
}

func (a *app) exportCommand() *cobra.Command {
	var e exporting
	cmd := &cobra.Command{
		Use:   "export [FUNCTION…] [flags]",
		Short: "Write functions, and all that belongs to them, as manifests for another control plane",
		Long: `Write functions, and all that belongs to them, as manifests for another control plane: from one machine to a cluster, or back.

With the functions come the gateways, event sources, buses, triggers and components that they need, and the configmaps that these
name. Secrets are not read without --secrets; each one is told, because it must be made there. Images of this machine's own
registry are copied to --registry, and the manifests name them there by their digest. What the target cannot do as it is, is told
in one line each.

A function that is built from source is exported with its source; --prebuilt exports the image that runs instead.`,
		Example: "  ofn export --all --registry registry.example.com/team --push-secret registry --to moved\n" +
			"  kubectl apply -k moved\n\n" +
			"  ofn export --all --kubeconfig cluster.yaml --target machine --images --to back\n" +
			"  ofn import back && ofn apply -k back",
		ValidArgsFunction: a.completeFunctions,
	}
	e.bind(cmd)
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := e.settle(s, args); err != nil {
			return err
		}
		return s.export(ctx, &e)
	})
	return cmd
}

func (e *exporting) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&e.all, "all", false, "every function of the namespace, and every object of the kinds that belong to functions")
	f.BoolVarP(&e.everywhere, "all-namespaces", "A", false, "of all namespaces")
	f.StringVar(&e.to, "to", "-", "directory to write to, one file for each object and a kustomization.yaml; - is the standard output")
	f.StringVar(&e.target, "target", string(export.Cluster), "what the manifests are for: cluster or machine")
	f.StringVar(&e.Registry, "registry", "", "HOST/PREFIX of a registry that images of this machine's own registry are copied to")
	f.StringVar(&e.Credentials, "push-secret", "", "secret that the manifests name for --registry; where it is in the namespace here, its logins are used for copying, else those of `docker login`")
	f.BoolVar(&e.plainHTTP, "plain-http", false, "speak without TLS to --registry")
	f.BoolVar(&e.images, "images", false, "write the images beside the manifests, an OCI layout in DIR/images, for `ofn import`")
	f.BoolVar(&e.Prebuilt, "prebuilt", false, "the image that runs instead of the source that it is built from")
	f.BoolVar(&e.Secrets, "secrets", false, "the content of secrets, too")
	f.BoolVar(&e.dryRun, "dry-run", false, "say what would be written and copied, and do neither")
	f.BoolVar(&e.strict, "strict", false, "fail, and write nothing, where there is a warning")
	f.StringVarP(&e.output, "output", "o", "", "yaml or json: of the objects, or with --to DIR of a summary")
	complete(cmd, "target", cobra.FixedCompletions([]string{string(export.Cluster), string(export.Machine)}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "output", cobra.FixedCompletions([]string{"yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "to", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
}

// settle checks the flags, and what they mean together.
func (e *exporting) settle(s *session, args []string) error {
	e.Names, e.Target, e.Kept = args, export.Target(e.target), e.images
	e.Namespace = s.Namespace
	if e.everywhere {
		e.Namespace = ""
	}
	switch {
	case len(args) == 0 && !e.all:
		return errors.New("name the functions to export, or give --all")
	case len(args) > 0 && e.all:
		return errors.New("give either names or --all")
	case e.Target != export.Cluster && e.Target != export.Machine:
		return fmt.Errorf("--target is %q: it is cluster or machine", e.target)
	case e.images && e.to == "-":
		return errors.New("--images needs a directory: give one with --to")
	case e.images && e.Registry != "":
		return errors.New("give either --registry or --images: the images go to one place")
	case e.Registry != "" && e.Target == export.Machine:
		return errors.New("--registry is for --target cluster: a machine has a registry of its own, which `ofn import` fills (--images)")
	case strings.Contains(e.Registry, "://"):
		return fmt.Errorf("--registry %s: want HOST/PREFIX without a scheme, such as registry.example.com/team; --plain-http is for one without TLS", e.Registry)
	case isFile(e.to):
		return fmt.Errorf("--to %s is a file: name a directory, which is made when it is not there", e.to)
	case e.Credentials != "" && e.Registry == "":
		return errors.New("--push-secret is for --registry")
	}
	if err := checkOutput(e.output, "json", "yaml"); err != nil {
		return err
	}
	e.Registry = strings.TrimSuffix(e.Registry, "/")
	if e.Registry == "" {
		return nil
	}
	if _, err := name.NewRepository(e.Registry+"/x", name.StrictValidation); err != nil {
		return fmt.Errorf("--registry %s: want HOST/PREFIX, such as registry.example.com/team: %w", e.Registry, err)
	}
	return nil
}

// isFile is whether there is a file, of which no directory can be made.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && path != "-"
}

func (s *session) export(ctx context.Context, e *exporting) error {
	t, err := s.transfer(ctx, e)
	if err != nil {
		return err
	}
	var own export.Registry
	if t.Own != nil {
		own = t
	}
	b, err := export.Collect(ctx, s.Client, own, e.Options)
	if err != nil {
		return err
	}
	for _, m := range b.Missing {
		fmt.Fprintf(s.app.env.Err, "note: %s\n", m)
	}
	for _, w := range b.Warnings {
		fmt.Fprintf(s.app.env.Err, "warning: %s\n", w)
	}
	if e.strict && len(b.Warnings) > 0 {
		return fmt.Errorf("nothing is written: --strict, and there are warnings (%d)", len(b.Warnings))
	}
	return s.writeExport(ctx, e, b, t)
}

// writeExport copies the images first: manifests that name what is not there help nobody.
func (s *session) writeExport(ctx context.Context, e *exporting, b *export.Bundle, t *export.Transfer) error {
	sum := summaryOf(b)
	if e.dryRun {
		return s.printDry(e, b, sum)
	}
	if e.Registry != "" {
		if err := s.copyImages(ctx, b.Images, t, sum); err != nil {
			return err
		}
	}
	if e.to == "-" {
		return s.printObjects(e, b)
	}
	if err := b.Write(e.to); err != nil {
		return err
	}
	if e.images {
		err := t.Keep(ctx, e.to, b.Images, func(i export.Sent) {
			sum.Images = append(sum.Images, i)
			fmt.Fprintf(s.app.env.Err, "kept image %s\n", i.From)
		})
		if err != nil {
			return fmt.Errorf("%w; %s is not complete: export again", err, e.to)
		}
	}
	if e.output != "" {
		return s.app.print(e.output, sum)
	}
	fmt.Fprintf(s.app.env.Out, "%d objects in %s\n", len(b.Objects), e.to)
	s.next(e, b)
	return nil
}

// next says what to do with the directory.
func (s *session) next(e *exporting, b *export.Bundle) {
	switch {
	case e.Target == export.Cluster:
		fmt.Fprintf(s.app.env.Err, "Next:  kubectl apply -k %s\n", e.to)
	case e.images && len(b.Images) > 0:
		fmt.Fprintf(s.app.env.Err, "Next:  ofn import %s && ofn apply -k %s\n", e.to, e.to)
	default:
		fmt.Fprintf(s.app.env.Err, "Next:  ofn apply -k %s\n", e.to)
	}
}
