package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openfunction/ofn/internal/cli/scaffold"
)

func (a *app) initCommand() *cobra.Command {
	templates := scaffold.Templates()
	var list strings.Builder
	for _, t := range templates {
		fmt.Fprintf(&list, "\n  %-20s %s", t.Name, t.Summary)
	}
	var template, name string
	cmd := &cobra.Command{
		Use:     "init DIR",
		Short:   "Make a directory with a new function",
		Long:    "Make a directory with a new function: its source, function.yaml and .ofnignore. Files that exist are never replaced.\n\nTemplates:" + list.String(),
		Example: "  ofn init hello && ofn deploy ./hello && ofn invoke hello",
		Args:    exactly(1, "a directory for the new function"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := filepath.Clean(args[0])
			if name == "" {
				abs, err := filepath.Abs(dir)
				if err != nil {
					return fmt.Errorf("naming the function: %w", err)
				}
				name = simplify(filepath.Base(abs))
			}
			if problems := validation.IsDNS1035Label(name); len(problems) > 0 {
				return fmt.Errorf("%q cannot name a function: %s. Choose another with --name", name, problems[0])
			}
			files, err := scaffold.Write(dir, template, scaffold.Values{Name: name})
			if err != nil {
				return err
			}
			fmt.Fprintf(a.env.Out, "made function %s in %s: %s\n", name, dir, strings.Join(files, ", "))
			fmt.Fprintf(a.env.Out, "Next:  ofn deploy %s && ofn invoke %s\n", argument(dir), name)
			return nil
		},
	}
	cmd.Flags().StringVar(&template, "template", templates[0].Name, "what to start from")
	cmd.Flags().StringVar(&name, "name", "", "name of the function (default: that of the directory)")
	complete(cmd, "template", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, t := range templates {
			names = append(names, t.Name+"\t"+t.Summary)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	completeDir(cmd)
	return cmd
}

// argument is a directory as it is given to deploy in a shell.
func argument(dir string) string {
	if !filepath.IsAbs(dir) && !strings.HasPrefix(dir, ".") {
		dir = "./" + dir
	}
	if strings.ContainsAny(dir, " \t\n\"'`$&|;<>()*?[]{}!#~\\") {
		return "'" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
	}
	return dir
}

// exactly wants n arguments and says what they are.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fmt.Errorf("%s wants %s; see `%s --help`", cmd.CommandPath(), what, cmd.CommandPath())
	}
}
