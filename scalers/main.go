//go:build keda

// Command ofn-scalers answers how much work waits at a trigger: it serves KEDA's ExternalScaler protocol over a unix socket, with
// KEDA's own scalers behind it. It is a program and a module of its own because they pull in hundreds of modules that nobody
// else should pay for. Package serve says how a trigger is written into a request.
//
// It ends when its standard input does, so that it never outlives the platform that started it.
//
// The tag keda is what compiles it: go build -tags keda. Without it only package serve is there to be tested, which takes seconds
// instead of the minutes that some 3,000 packages take.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/openfunction/ofn/scalers/serve"
)

// limits of what a client may ask for.
const (
	maxRequest = 1 << 20
	maxStreams = 256
)

func main() {
	socket := flag.String("socket", "", "serve at this unix socket, which must not be in use")
	types := flag.Bool("types", false, "print the trigger types and end")
	flag.Parse()
	if *types {
		fmt.Println(strings.Join(Types(), "\n"))
		return
	}
	if *socket == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(*socket, log); err != nil {
		log.Error("ofn-scalers ends", "error", err)
		os.Exit(1)
	}
}

func run(socket string, log *slog.Logger) error {
	ctrllog.SetLogger(logr.FromSlogHandler(quiet{log.Handler()}))
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the socket of an earlier life: %w", err)
	}
	syscall.Umask(0o077) // only the user of the platform connects
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() { // ends with the process at the latest
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	server := serve.New(serve.Options{Build: build, Log: log})
	defer server.Close()
	g := grpc.NewServer(grpc.MaxRecvMsgSize(maxRequest), grpc.MaxConcurrentStreams(maxStreams))
	externalscaler.RegisterExternalScalerServer(g, server)
	stopped := context.AfterFunc(ctx, func() {
		force := time.AfterFunc(2*time.Second, g.Stop)
		g.GracefulStop()
		force.Stop()
	})
	defer stopped()
	return g.Serve(l)
}

// quiet passes on errors only: KEDA's scalers tell much that nobody asked for.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler         { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(name string) slog.Handler           { return quiet{q.Handler.WithGroup(name)} }
