package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// completionTimeout bounds what the shell waits for.
const completionTimeout = 2 * time.Second

// complete declares how the value of a flag is completed.
func complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag is not declared, or twice
	}
}

// completeDir lets the shell complete directories.
func completeDir(cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
}

// names asks the control plane for what begins with prefix; no answer completes nothing.
func (a *app) names(cmd *cobra.Command, prefix string, list client.ObjectList, each func() []string, options ...client.ListOption) ([]string, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	s, err := a.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if _, all := list.(*corev1.NamespaceList); !all {
		options = append(options, client.InNamespace(s.Namespace))
	}
	if s.Client.List(ctx, list, options...) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found := slices.DeleteFunc(each(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	return found, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeNamespaces(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var list corev1.NamespaceList
	return a.names(cmd, prefix, &list, func() (out []string) {
		for i := range list.Items {
			out = append(out, list.Items[i].Name)
		}
		return out
	})
}

func (a *app) completeFunctions(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var list v1beta2.FunctionList
	return a.names(cmd, prefix, &list, func() (out []string) {
		for i := range list.Items {
			out = append(out, list.Items[i].Name)
		}
		return out
	})
}

// completeFunction completes the first argument alone.
func (a *app) completeFunction(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeFunctions(cmd, args, prefix)
}

// completeRevisions completes the revisions of the function that is the first argument.
func (a *app) completeRevisions(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list v1beta2.ServingList
	return a.names(cmd, prefix, &list, func() (out []string) {
		for i := range list.Items {
			out = append(out, list.Items[i].Name)
		}
		return out
	}, client.MatchingLabels{v1beta2.LabelFunction: args[0]})
}
