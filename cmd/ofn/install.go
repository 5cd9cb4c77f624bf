package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/config"
	"github.com/openfunction/ofn/internal/cli/progress"
	"github.com/openfunction/ofn/internal/install"
)

// installing is what `ofn install` can be told.
type installing struct {
	target
	request         install.Request
	settings        installSettings
	engines         []string
	engineManifests string
	dryRun, output  string
	timeout         time.Duration
}

// The kinds of dry run.
const (
	dryClient = "client"
	dryServer = "server"
)

func installCommand() *cobra.Command {
	var i installing
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install ofn on a Kubernetes cluster, and engines that it lacks",
		Long: `Install ofn on a Kubernetes cluster: its kinds, and the operator and
the gateway as Deployments in the namespace openfunction. The manifests are in
this program; the operator's image is made by ofn image. To run it again changes nothing; with another version of ofn, --upgrade replaces
what is there and takes away what the old version had more. Functions are never touched.

Engines are installed by choice, in the versions that this ofn is made for, from their makers' manifests, or from --engine-manifests without
access to the internet. One that is there is left as it is, unless --upgrade is given.`,
		Example: "  ofn image --push registry.example.com/ofn:1.0\n  ofn install --image registry.example.com/ofn:1.0 --engines knative,shipwright\n  ofn install --image registry.example.com/ofn:1.0 --dry-run=client -o yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i.request.Files, i.request.Version = config.Files, version
			if err := i.check(); err != nil {
				return err
			}
			return i.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	i.bind(cmd.Flags())
	for name, values := range map[string][]string{"engines": install.Names(), "dry-run": {dryClient, dryServer}, "output": {"yaml", "json"}} {
		// It fails only for a flag that does not exist.
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

func (i *installing) bind(f *pflag.FlagSet) {
	i.target.bind(f)
	f.StringVar(&i.request.Image, "image", "", "image of the operator (default: that of the operator which is there)")
	f.StringVar(&i.request.Scope, "namespace-scope", "", "the only namespace whose functions are looked after (default: all)")
	f.BoolVar(&i.request.Gateway, "gateway", true, "install ofn gateway too, behind which functions are called that no engine runs (not with --namespace-scope)")
	i.settings.bind(f)
	f.StringSliceVar(&i.engines, "engines", nil, "engines to install where the cluster lacks them: "+strings.Join(install.Names(), ", "))
	f.StringVar(&i.engineManifests, "engine-manifests", "", "directory with a directory of manifests for each engine, to be used instead of fetching them")
	f.BoolVar(&i.request.Upgrade, "upgrade", false, "replace an operator, and engines named by --engines, of another version")
	f.BoolVar(&i.request.Wait, "wait", true, "wait until the operator, and engines that were installed, are available")
	f.DurationVar(&i.timeout, "timeout", 10*time.Minute, "how long all of it may take")
	f.StringVar(&i.dryRun, "dry-run", "", "change nothing: client only makes the manifests, server (also without a value) lets the API server check them")
	f.Lookup("dry-run").NoOptDefVal = dryServer
	f.StringVarP(&i.output, "output", "o", "", "print the objects: yaml or json")
}

func (i *installing) check() error {
	if !slices.Contains([]string{"", dryClient, dryServer}, i.dryRun) {
		return fmt.Errorf("--dry-run=%s is not known; it is client or server", i.dryRun)
	}
	if !slices.Contains([]string{"", "yaml", "json"}, i.output) {
		return fmt.Errorf("-o %s is not known here; it is yaml or json", i.output)
	}
	i.request.Settings = i.settings.said()
	if err := i.request.Settings.Check(); err != nil {
		return err
	}
	if i.engineManifests != "" && len(i.engines) == 0 {
		return errors.New("--engine-manifests belongs to --engines: say which engines are wanted")
	}
	if i.engineManifests != "" {
		if info, err := os.Stat(i.engineManifests); err != nil || !info.IsDir() {
			return fmt.Errorf("--engine-manifests: %s is not a directory", i.engineManifests)
		}
	}
	return nil
}

func (i *installing) run(ctx context.Context, out, progressTo io.Writer) error {
	releases, err := install.Wanted(i.engines)
	if err != nil {
		return err
	}
	if i.dryRun == dryClient {
		return i.manifests(out)
	}
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	display := progress.New(progressTo, terminal(os.Stderr), clock.RealClock{})
	defer display.Close()
	installer, server, err := i.installer(ctx, display)
	if err != nil {
		return err
	}
	installer.DryRun = i.dryRun == dryServer
	begin := time.Now()
	objects, err := installer.Install(ctx, i.request)
	if err != nil {
		return err
	}
	if !installer.DryRun {
		display.Line("ofn %s is installed on %s (%s)", version, server, progress.Duration(time.Since(begin)))
	}
	err = installer.Engines(ctx, install.Engines{Releases: releases, Dir: i.engineManifests, HTTP: &http.Client{Timeout: 5 * time.Minute}, Upgrade: i.request.Upgrade, Wait: i.request.Wait})
	if err != nil {
		return err
	}
	display.Close()
	return printObjects(out, i.output, objects)
}

// manifests prints what would be applied, without asking any cluster.
func (i *installing) manifests(out io.Writer) error {
	if i.request.Image == "" {
		return install.ErrImage
	}
	objects, err := i.request.Objects()
	if err != nil {
		return err
	}
	if i.output != "" {
		return printObjects(out, i.output, objects)
	}
	for _, o := range objects {
		fmt.Fprintf(out, "%s (dry run)\n", install.Identity(o))
	}
	return nil
}

// printObjects writes objects as documents of YAML, or as a list in JSON; nothing without a format.
func printObjects(out io.Writer, format string, objects []*unstructured.Unstructured) error {
	switch format {
	case "":
		return nil
	case "json":
		items := []any{}
		for _, o := range objects {
			o.SetManagedFields(nil)
			items = append(items, o.Object)
		}
		enc := json.NewEncoder(out)
		enc.SetIndent("", "    ")
		enc.SetEscapeHTML(false)
		return enc.Encode(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	}
	for n, o := range objects {
		o.SetManagedFields(nil)
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("printing %s: %w", install.Identity(o), err)
		}
		if n > 0 {
			fmt.Fprintln(out, "---")
		}
		fmt.Fprintf(out, "%s", data)
	}
	return nil
}
