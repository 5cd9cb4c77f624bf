// Command ofn is the whole platform and its command line in one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/cli"
)

// version is set by the linker.
var version = "dev" //nolint:gochecknoglobals // -ldflags -X needs a variable

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if limit := memoryLimitOf(os.Getenv); limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	var err error
	switch { // what a role needs is none of the commands
	case len(os.Args) == 2 && os.Args[1] == wasmWorker:
		err = serveWasm(ctx)
	case len(os.Args) == 3 && os.Args[1] == wasmAlone:
		err = serveModule(ctx, os.Args[2])
	default:
		err = root().ExecuteContext(ctx)
	}
	stop()
	if err == nil {
		return
	}
	var code cli.ExitCode
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	fmt.Fprintln(os.Stderr, "ofn:", err)
	os.Exit(1)
}

// root joins the commands that talk to a control plane with those that are one.
func root() *cobra.Command {
	cmd := cli.New(cli.Environment{
		Version:    version,
		Home:       os.Getenv("HOME"),
		Kubeconfig: os.Getenv("KUBECONFIG"),
		DataDir:    dataDir(),
		In:         os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: terminal(os.Stderr),
	})
	cmd.AddCommand(upCommand(), operatorCommand(), installCommand(), uninstallCommand(), imageCommand(), doctorCommand(), devCommand(), demoCommand())
	cmd.AddCommand(gatewayCommand(), buildStepCommand(), eventHandlerCommand(), eventBusCommand())
	return cmd
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
