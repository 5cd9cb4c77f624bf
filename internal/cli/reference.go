package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

//go:generate go test -run TestReference . -args -update

// reference is docs/cli.md: a section "## ofn …" for each command, in the order of their names.
func reference(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The command line\n\n<!-- Made by `go generate ./internal/cli`; do not edit. -->\n\n%s.\n\n`ofn up`, `ofn dev`, `ofn doctor` and `ofn demo` need no control plane; `ofn install`, `ofn uninstall`, `ofn image`, `ofn operator` and `ofn gateway` are\nabout [a cluster](install.md). Their `--help` describes them. `ofn completion` prints what a shell needs to\ncomplete commands, flags and the names of functions, revisions and namespaces.\n\nExit codes: 0, and 1 when something failed or a function answered 400 or more; 130 after Ctrl-C.\n", root.Short)
	if flags := root.PersistentFlags().FlagUsages(); flags != "" {
		fmt.Fprintf(&b, "\nEvery command that talks to a control plane takes:\n\n```\n%s```\n", flags)
	}
	for _, section := range sections(root) {
		b.WriteString("\n" + section)
	}
	return b.String()
}

func sections(root *cobra.Command) []string {
	var out []string
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			out = append(out, section(c))
			out = append(out, sections(c)...)
		}
	}
	slices.Sort(out)
	return out
}

func section(c *cobra.Command) string {
	var b strings.Builder
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	usage := c.UseLine()
	fmt.Fprintf(&b, "## %s\n\n%s\n\n```\n%s\n```\n", c.CommandPath(), prose(text), usage)
	if c.Example != "" {
		fmt.Fprintf(&b, "\n```sh\n%s\n```\n", unindent(c.Example))
	}
	if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
		fmt.Fprintf(&b, "\n```\n%s```\n", flags)
	}
	return b.String()
}

// prose makes indented lines of a long text code.
func prose(s string) string {
	return strings.ReplaceAll(s, "\n  ", "\n    ")
}

func unindent(s string) string {
	return strings.TrimPrefix(strings.ReplaceAll(s, "\n  ", "\n"), "  ")
}
