package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openfunction/ofn/internal/cli/fields"
)

// explainFlag adds to what the parser says of a flag what may have been meant, and where the flags are listed.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := fields.Nearest(unknown.GetSpecifiedName(), known); near != "" {
			return fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	}
	return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
}

// formerCommands are those of OpenFunction's own command line that have nothing to do here. They say what to do instead.
func formerCommands() []*cobra.Command {
	var out []*cobra.Command
	for name, instead := range map[string]string{
		"install":   "there is nothing to install on one machine: `ofn up` runs the whole platform. ofn does not install itself, Knative, KEDA or Dapr on a cluster",
		"uninstall": "there is nothing to uninstall on one machine: end `ofn up` and remove its data directory, which `ofn up --help` names",
	} {
		out = append(out, &cobra.Command{
			Use: name, Hidden: true, DisableFlagParsing: true,
			Short: "Not needed any more",
			RunE:  func(*cobra.Command, []string) error { return errors.New(instead) },
		})
	}
	return out
}
