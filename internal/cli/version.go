package cli

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"
)

// serverPatience is how long version waits for a control plane, which it can do without.
const serverPatience = 3 * time.Second

// versions is what version prints.
type versions struct {
	Client string `json:"client"`
	Go     string `json:"go"`
	OS     string `json:"platform"`
	Server string `json:"server,omitempty"`
	URL    string `json:"url,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	var short, clientOnly bool
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this program and of the control plane",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "json", "yaml"); err != nil {
				return err
			}
			v := versions{Client: a.env.Version, Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH}
			if short {
				fmt.Fprintln(a.env.Out, v.Client)
				return nil
			}
			problem := error(nil)
			if !clientOnly {
				problem = a.askServer(cmd.Context(), &v)
			}
			if output != "" {
				return a.print(output, v)
			}
			fmt.Fprintf(a.env.Out, "ofn      %s (%s, %s)\n", v.Client, v.Go, v.OS)
			switch {
			case problem != nil:
				fmt.Fprintf(a.env.Err, "server   %v\n", problem)
			case v.Server != "":
				fmt.Fprintf(a.env.Out, "server   %s at %s\n", v.Server, v.URL)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&short, "short", false, "the version of this program alone, as one word")
	cmd.Flags().BoolVar(&clientOnly, "client", false, "do not ask the control plane")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	return cmd
}

func (a *app) askServer(ctx context.Context, v *versions) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	info, err := c.Server(ctx)
	if err != nil {
		return explain(err, c)
	}
	v.Server, v.URL = "Kubernetes API "+info.GitVersion, c.URL.String()
	return nil
}
