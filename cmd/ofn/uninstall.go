package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/config"
	"github.com/openfunction/ofn/internal/cli/progress"
	"github.com/openfunction/ofn/internal/control/admission"
	"github.com/openfunction/ofn/internal/install"
)

// removing is what `ofn uninstall` can be told.
type removing struct {
	target
	purge, yes, dryRun bool
	timeout            time.Duration
}

func uninstallCommand() *cobra.Command {
	var r removing
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove ofn from a Kubernetes cluster; functions stay unless they are purged",
		Long: `Remove the operator from a Kubernetes cluster. The functions, what serves them (ofn gateway among it), their kinds, the namespace
openfunction and the engines stay: functions go on answering, and ofn install takes them up again. While there is no operator nothing of them is
changed, and core.openfunction.io/v1beta1 cannot be read.

With --purge the kinds go too, with every function and everything else of these kinds. Engines are removed as they were installed.`,
		Example: "  ofn uninstall\n  ofn uninstall --purge --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.run(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	r.bind(f)
	f.BoolVar(&r.purge, "purge", false, "delete all functions, and the kinds of OpenFunction")
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask before functions are deleted")
	f.BoolVar(&r.dryRun, "dry-run", false, "only say what would be deleted")
	f.DurationVar(&r.timeout, "timeout", 5*time.Minute, "how long all of it may take")
	return cmd
}

func (r *removing) run(ctx context.Context, in io.Reader, progressTo io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	display := progress.New(progressTo, terminal(os.Stderr), clock.RealClock{})
	defer display.Close()
	installer, server, err := r.installer(ctx, display)
	if err != nil {
		return err
	}
	installer.DryRun = r.dryRun
	n, some, err := installer.Functions(ctx)
	if err != nil {
		return err
	}
	if r.purge && n > 0 && !r.dryRun {
		if err := r.confirm(in, display, fmt.Sprintf("%d functions on %s will be deleted (%s)", n, server, strings.Join(some, ", "))); err != nil {
			return err
		}
	}
	err = installer.Uninstall(ctx, install.Removal{Manifests: install.Manifests{Files: config.Files, Version: version}, Made: madeByOperator, Purge: r.purge, Wait: true})
	if err != nil || r.dryRun {
		return err
	}
	if r.purge {
		display.Line("ofn is gone from %s, with all functions. What is left is the namespace: kubectl delete namespace %s", server, install.Namespace)
		return nil
	}
	display.Line("ofn is gone from %s; its %d functions are as they were", server, n)
	return nil
}

// confirm asks on a terminal; elsewhere --yes must have been given.
func (r *removing) confirm(in io.Reader, display *progress.Display, what string) error {
	if r.yes {
		return nil
	}
	display.Line("%s. Type yes to go on:", what)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if strings.TrimSpace(answer) == "yes" {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return fmt.Errorf("%s: not confirmed, nothing was changed; --yes confirms without asking", what)
}

// madeByOperator are the objects that an operator makes by itself.
func madeByOperator(scope string) []client.Object {
	hooks, lease := "", leaderElection
	if scope != "" {
		hooks, lease = "."+scope, scope+"."+leaderElection
	}
	mutating, validating := admission.Endpoint{}.Configurations()
	mutating.Name += hooks
	validating.Name += hooks
	return []client.Object{
		mutating, validating,
		&corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Namespace: install.Namespace, Name: webhookSecret}},
		&coordinationv1.Lease{TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}, ObjectMeta: metav1.ObjectMeta{Namespace: install.Namespace, Name: lease}},
	}
}

// webhookSecret holds the certificates of the operator's webhooks.
const webhookSecret = "ofn-webhook-certificates"
