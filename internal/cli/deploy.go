package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/connect"
	"github.com/openfunction/ofn/internal/cli/progress"
)

// fieldManager owns the fields that this command line applies.
const fieldManager = "ofn-cli"

// deployment is what the flags of deploy say.
type deployment struct {
	dir, file, name, image, builder, function string
	command, contract, share                  string
	archive                                   string // what was given in place of a directory

	env, params map[string]string

	git, revision, subPath, credentials string
	pushSecret                          string
	plainHTTP                           bool

	port                            int32
	minScale, maxScale, concurrency int64

	noWait  bool
	timeout time.Duration
	output  string

	given func(flag string) bool
}

func (d *deployment) bind(f *pflag.FlagSet) {
	f.StringVarP(&d.file, "filename", "f", "", "manifest to start from (default: DIR/function.yaml when there is one); - is the standard input")
	f.StringVar(&d.name, "name", "", "name of the function (default: that of the manifest, else of the directory)")
	f.StringVarP(&d.image, "image", "i", "", "image that the build makes; without DIR and --git: the image to run, already built")
	f.StringVar(&d.builder, "builder", "", "builder image, or name of a built-in builder (default: that of the source's language)")
	f.StringVar(&d.function, "function", "", "name of the function in the source, FUNC_NAME (default: the only one there is)")
	f.StringVar(&d.command, "command", "", "command that starts the program, FUNC_ENTRYPOINT (default: that of the source's language, or of its Procfile)")
	f.StringVar(&d.contract, "contract", "", "contract of another platform that the program keeps: server, watchdog, lambda, lambda-raw or cgi")
	f.StringVar(&d.share, "share", "", "group of functions of one application that are served by the same copies")
	f.StringToStringVar(&d.env, "env", nil, "KEY=VALUE for the build; repeatable")
	f.StringToStringVar(&d.params, "param", nil, "KEY=VALUE in the environment of the running function; repeatable")
	f.StringVar(&d.git, "git", "", "build from this git repository instead of a directory")
	f.StringVar(&d.revision, "revision", "", "branch, tag or commit of --git")
	f.StringVar(&d.subPath, "sub-path", "", "directory inside the repository of --git")
	f.StringVar(&d.credentials, "credentials", "", "secret with the credentials for --git")
	f.StringVar(&d.pushSecret, "push-secret", "", "secret with the login for the registry of the image, spec.imageCredentials")
	f.BoolVar(&d.plainHTTP, "plain-http", false, "speak without TLS to the registry of the image, for the source on a cluster")
	f.Int32Var(&d.port, "port", v1beta2.DefaultPort, "port the function listens on")
	f.Int64Var(&d.minScale, "min-scale", 0, "least number of copies; 0 scales to zero")
	f.Int64Var(&d.maxScale, "max-scale", 0, "greatest number of copies")
	f.Int64Var(&d.concurrency, "concurrency", 0, "requests one copy works on at the same time; 0 is without limit")
	f.BoolVar(&d.noWait, "no-wait", false, "return as soon as the function is accepted")
	f.DurationVar(&d.timeout, "timeout", 10*time.Minute, "how long to wait; the deployment goes on after it")
	f.StringVarP(&d.output, "output", "o", "", "print the function at the end: json, yaml or name")
	d.given = f.Changed
}

func (a *app) deployCommand() *cobra.Command {
	var d deployment
	cmd := &cobra.Command{
		Use:   "deploy [DIR|ARCHIVE]",
		Short: "Build and run a function, and follow it until it answers",
		Long: `Build and run a function, and follow it until it answers.

The source is a directory (the current one by default), which is packed without what its .ofnignore (or .gitignore) names
and sent to the control plane's registry, or, on a cluster, to that of --image, or the one that ofn install --registry has named, with the logins of docker login; or a git repository with --git. With --image alone an image that exists is run.
In place of the directory an archive of one (zip, tar, tar.gz, tar.zst), a Java archive or a program may be given.

DIR/function.yaml, or the file of -f, is the base; flags replace what it says. The same command again deploys what has
changed. Progress goes to the standard error, the function's URL to the standard output.`,
		Example: `  ofn deploy ./hello
  ofn deploy bootstrap.zip --contract lambda
  ofn deploy ./server --command './server --quiet'
  ofn deploy ./hello --image registry.example.com/team/hello --push-secret registry
  ofn deploy --git https://github.com/me/functions.git --sub-path hello --name hello
  ofn deploy --image ghcr.io/me/hello:v2 --name hello --port 3000`,
		Args: cobra.MaximumNArgs(1),
	}
	d.bind(cmd.Flags())
	completeDir(cmd)
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if len(args) == 1 {
			d.dir = args[0]
		}
		if err := checkOutput(d.output, "json", "yaml", "name"); err != nil {
			return err
		}
		return s.deploy(ctx, &d)
	})
	return cmd
}

// deploy packs, pushes, applies and follows.
func (s *session) deploy(ctx context.Context, d *deployment) error {
	begin := time.Now()
	unstage, err := d.stage(ctx)
	if err != nil {
		return err
	}
	defer unstage()
	plan, err := d.plan(s.app.env.In)
	if err != nil {
		return err
	}
	if s.NamespaceGiven || plan.function.GetNamespace() == "" {
		plan.function.SetNamespace(s.Namespace)
	}
	if err := s.fit(ctx, plan); err != nil {
		return err
	}
	display := progress.New(s.app.env.Err, s.app.env.Terminal, clock.RealClock{})
	defer display.Close()
	if plan.dir != "" {
		if err := s.pushSource(ctx, plan, display); err != nil {
			return interrupted(ctx, err, "nothing was deployed")
		}
	}
	if err := plan.complete(); err != nil {
		return err
	}
	for _, other := range plan.others {
		if err := s.apply(ctx, other, false); err != nil {
			return err
		}
	}
	before := s.current(ctx, plan.function)
	if err := s.applyObject(ctx, plan.function, applying{place: plan.where()}); err != nil {
		return interrupted(ctx, plan.blame(err), "nothing was deployed")
	}
	display.Line("%s %s/%s", verb(before, plan.function), plan.function.GetNamespace(), plan.function.GetName())
	if d.noWait {
		display.Close()
		return s.show(d.output, plan.function, func() { fmt.Fprintf(s.app.env.Err, "follow it with `ofn get %s -w`\n", target(plan.function)) })
	}
	fn, err := s.follow(ctx, display, awaited{key: keyOf(plan.function), generation: plan.function.GetGeneration(), before: before, timeout: d.timeout})
	if err != nil {
		return err
	}
	display.Line("ready after %s in all", progress.Duration(time.Since(begin)))
	display.Close()
	return s.show(d.output, fn, func() { s.announce(fn) })
}

// fit makes a plan one for the control plane: a machine has a registry, a cluster has not.
func (s *session) fit(ctx context.Context, p *plan) error {
	machine, err := s.Machine(ctx)
	if err != nil || machine {
		return err
	}
	if p.flags.share != "" {
		fmt.Fprintf(s.app.env.Err, "note: functions share copies on one machine only; here %s gets copies of its own\n", p.function.GetName())
	}
	r, err := s.registries(ctx)
	if err != nil {
		return err
	}
	return p.forCluster(r)
}

// registries is what a cluster says of them to everybody.
type registries struct {
	usual    string   // where images go whose function names none
	insecure []string // hosts without TLS
}

// registries reads what `ofn install` has left for the command line. Where that is not there or not to be read, nothing was said.
func (s *session) registries(ctx context.Context) (registries, error) {
	said := &corev1.ConfigMap{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: v1beta2.SystemNamespace, Name: v1beta2.ClientsConfig}, said)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return registries{}, fmt.Errorf("asking where images go: %w", err)
	}
	return registries{usual: said.Data[v1beta2.ClientsRegistry], insecure: strings.Split(said.Data[v1beta2.ClientsInsecure], ",")}, nil
}

// current is the function before a change; nil when there was none or it cannot be told, which matters for wording alone.
func (s *session) current(ctx context.Context, o *unstructured.Unstructured) *v1beta2.Function {
	fn := &v1beta2.Function{}
	if s.Client.Get(ctx, keyOf(o), fn) != nil {
		return nil
	}
	return fn
}

func verb(before *v1beta2.Function, after *unstructured.Unstructured) string {
	switch {
	case before == nil:
		return "created function"
	case before.Generation == after.GetGeneration():
		return "unchanged: function"
	default:
		return "updated function"
	}
}

// announce says where the function answers.
func (s *session) announce(fn *v1beta2.Function) {
	url := address(fn)
	if url == "" {
		fmt.Fprintf(s.app.env.Err, "function %s has no address: it is called by events\n", fn.Name)
		return
	}
	if note := pinned(fn); note != "" {
		fmt.Fprintln(s.app.env.Err, note)
	}
	fmt.Fprintln(s.app.env.Out, url)
}

// pinned warns when a deployment that went well gets no traffic, as after a rollback.
func pinned(fn *v1beta2.Function) string {
	latest := fn.Status.LatestReadyRevision
	for _, t := range fn.Status.Traffic {
		if t.RevisionName == latest && t.Percent > 0 {
			return ""
		}
	}
	if latest == "" || len(fn.Status.Traffic) == 0 {
		return ""
	}
	return fmt.Sprintf("the traffic stays with %s; send it to %s with `ofn traffic %s --latest`", shares(fn.Status.Traffic), latest, targetOf(fn))
}

// interrupted says what Ctrl-C has left behind.
func interrupted(ctx context.Context, err error, note string) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("interrupted: %s", note)
	}
	return err
}

// withoutRegistry is what to do where sources cannot be sent.
func withoutRegistry(c *connect.Cluster) error {
	return fmt.Errorf("the control plane at %s has no registry that takes sources: deploy from a git repository with --git, or build the image yourself and give it with --image", c.URL)
}
