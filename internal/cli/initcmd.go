package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openfunction/ofn/internal/cli/scaffold"
)

func (a *app) initCommand() *cobra.Command {
	templates := scaffold.Templates()
	var template, name, output string
	var list bool
	cmd := &cobra.Command{
		Use:     "init DIR",
		Short:   "Make a directory with a new function",
		Long:    "Make a directory with a new function: its source, function.yaml and what its language wants. Files that exist are never replaced.",
		Example: "  ofn init hello && ofn deploy ./hello && ofn invoke hello\n  ofn init --list\n  ofn init greeter --template python-http",
		Args: func(cmd *cobra.Command, args []string) error {
			if list {
				return cobra.NoArgs(cmd, args)
			}
			return exactly(1, "a directory for the new function")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if list {
				return a.listTemplates(output)
			}
			if output != "" {
				return errors.New("-o belongs to --list")
			}
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
	cmd.Flags().StringVar(&template, "template", templates[0].Name, "what to start from: a name that --list shows")
	cmd.Flags().BoolVar(&list, "list", false, "show the templates and make nothing")
	cmd.Flags().StringVarP(&output, "output", "o", "", "with --list: json, yaml or name")
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

// listTemplates shows what init can start from.
func (a *app) listTemplates(output string) error {
	templates := scaffold.Templates()
	if err := checkOutput(output, "json", "yaml", "name"); err != nil {
		return err
	}
	switch output {
	case "":
	case "name":
		for _, t := range templates {
			fmt.Fprintln(a.env.Out, t.Name)
		}
		return nil
	default:
		return a.print(output, templates)
	}
	w := tabwriter.NewWriter(a.env.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "TEMPLATE\tLANGUAGE\tSIGNATURE\tDESCRIPTION")
	for _, t := range templates {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Name, t.Language, t.Signature, t.Summary)
	}
	return w.Flush()
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
