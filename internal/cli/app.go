package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/openfunction/ofn/internal/cli/connect"
	"github.com/openfunction/ofn/internal/cli/fields"
)

// app is what all commands share.
type app struct {
	env   Environment
	flags connect.Options
	// commands are those that talk to a control plane.
	commands map[*cobra.Command]bool
}

// bind declares the flags that say which control plane and namespace are meant.
func (a *app) bind(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.flags.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, else that of ofn up on this machine, else ~/.kube/config)")
	f.StringVar(&a.flags.Context, "context", "", "context of the kubeconfig")
	f.StringVarP(&a.flags.Namespace, "namespace", "n", "", "namespace (default: that of the context)")
	f.StringVar(&a.flags.Server, "server", "", "URL of an API server, instead of a kubeconfig")
	f.StringVar(&a.flags.Token, "token", "", "bearer token for the API server")
	f.StringVar(&a.flags.CertificateAuthority, "certificate-authority", "", "file with the certificate authority of the API server")
	f.BoolVar(&a.flags.Insecure, "insecure-skip-tls-verify", false, "accept any certificate of the API server: whoever is between can then read and change everything")
	f.StringVar(&a.flags.As, "as", "", "user to act as")
	complete(root, "namespace", a.completeNamespaces)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.refuseFlags(cmd) }
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		f.VisitAll(func(flag *pflag.Flag) { flag.Hidden = !a.connects(cmd) })
		help(cmd, args)
	})
}

// connects tells whether a command is one of those that talk to a control plane.
func (a *app) connects(cmd *cobra.Command) bool {
	for cmd.HasParent() && cmd.Parent().HasParent() {
		cmd = cmd.Parent()
	}
	return !cmd.HasParent() || a.commands[cmd]
}

// refuseFlags keeps flags that would have no effect from being taken for something else.
func (a *app) refuseFlags(cmd *cobra.Command) (err error) {
	if a.connects(cmd) || cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
		return nil
	}
	cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			err = fmt.Errorf("--%s has no meaning for %s, which talks to no control plane", f.Name, cmd.CommandPath())
		}
	})
	return err
}

// open finds the control plane.
func (a *app) open() (*connect.Cluster, error) {
	o := a.flags
	o.EnvKubeconfig, o.DataDir, o.Home = a.env.Kubeconfig, a.env.DataDir, a.env.Home
	o.UserAgent, o.Warnings = "ofn/"+a.env.Version, a.env.Err
	return connect.Open(o)
}

// session is one run of a command that talks to a control plane.
type session struct {
	*connect.Cluster
	app *app
	// known are schemas that the server has told.
	known map[schema.GroupVersion]*fields.Schemas
}

// with makes the body of a command that talks to a control plane. Its errors become what a user can act on.
func (a *app) with(run func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.open()
		if err != nil {
			return err
		}
		return explain(run(cmd.Context(), &session{Cluster: c, app: a}, args), c)
	}
}

// explain says what to do about errors that every command can meet.
func explain(err error, c *connect.Cluster) error {
	var transport *url.Error
	var none *meta.NoKindMatchError
	if errors.As(err, &transport) && !strings.HasPrefix(transport.URL, c.URL.Scheme+"://"+c.URL.Host+"/") {
		return err // of a registry, or of a function
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ECONNREFUSED) && c.Local:
		return fmt.Errorf("ofn is not running (no API at %s): start it with `ofn up`", c.URL)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("there is no API at %s (connection refused): is the server running (`ofn up` on this machine), and is this the right kubeconfig?", c.URL)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s does not accept these credentials: %w", c.URL, err)
	case errors.As(err, &none):
		return fmt.Errorf("%w: the control plane at %s does not have this kind%s", err, c.URL, meantKind(none))
	case apierrors.IsNotFound(err) && about(err) == "namespaces":
		return fmt.Errorf("%w: give one that exists with -n, or make it first, e.g. with `kubectl create namespace`", err)
	case errors.As(err, &transport) && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer in time: %w", c.URL, err)
	default:
		return err
	}
}

// about is the resource that an error of the API is about.
func about(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	return status.Status().Details.Kind
}
