// Command cluster is a real Kubernetes on one machine, for tests: all of its components in one program, and the commands that
// start a node in namespaces of its own, put images and engines into it, run tests inside it, and take it away.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/openfunction/ofn/test/cluster/internal/edge"
	"github.com/openfunction/ofn/test/cluster/internal/node"
)

func main() {
	args, given := os.Args, slices.Clone(os.Args[1:])
	if filepath.Base(args[0]) == "cluster" && len(args) > 1 {
		args = args[1:]
	}
	args[0] = filepath.Base(args[0])
	if code, ok := component(args); ok {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, args, given)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args, given []string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	switch {
	case len(args) == 2 && args[0] == node.HolderCommand:
		return node.Hold(node.Dir(args[1]))
	case len(args) == 2 && args[0] == node.KeeperCommand:
		klog.SetSlogLogger(log)
		return node.Keep(ctx, node.Dir(args[1]), func(ctx context.Context, config *rest.Config, log *slog.Logger) error {
			return edge.Run(ctx, config, node.IP, log)
		}, log)
	}
	cmd := commands(log)
	cmd.SetArgs(given)
	return cmd.ExecuteContext(ctx)
}
