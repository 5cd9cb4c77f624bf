// Package cli is the command line that talks to a control plane: that of this machine, or any cluster with the kinds of
// OpenFunction, by kubeconfig.
package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Environment is what the command line takes from its process.
type Environment struct {
	Version    string
	Home       string
	Kubeconfig string // of $KUBECONFIG
	DataDir    string // where `ofn up` keeps its own kubeconfig
	In         io.Reader
	Out, Err   io.Writer
	Terminal   bool // Err is a terminal: progress may be drawn
}

// ExitCode ends the program with this code; what there is to say has been said.
type ExitCode int

// Error is never shown.
func (e ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// The groups of commands in the help.
const (
	groupFunction = "function"
	groupObject   = "object"
)

// New is the root command with every command that needs no engine.
func New(env Environment) *cobra.Command {
	a := &app{env: env, commands: map[*cobra.Command]bool{}}
	root := &cobra.Command{
		Use:           "ofn",
		Short:         "Functions: from source to a running service, on one machine or on Kubernetes",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.AddGroup(&cobra.Group{ID: groupFunction, Title: "Working on a function:"}, &cobra.Group{ID: groupObject, Title: "Objects of the control plane:"})
	a.bind(root)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID, a.commands[c] = group, true
			root.AddCommand(c)
		}
	}
	add(groupFunction, a.initCommand(), a.deployCommand(), a.invokeCommand(), a.logsCommand(), a.rebuildCommand(),
		a.revisionsCommand(), a.trafficCommand(), a.rollbackCommand(), a.callsCommand(), a.eventsCommand(), a.deadLettersCommand())
	add(groupObject, a.getCommand(), a.describeCommand(), a.applyCommand(), a.createCommand(), a.deleteCommand(),
		a.exportCommand(), a.importCommand())
	add("", a.versionCommand())
	root.SetFlagErrorFunc(explainFlag)
	return root
}
