package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/kubeapi"
)

// The start makes much garbage that need not be collected at once; after it the collector runs often enough to keep the
// idle platform small, because most of its memory is long-lived.
const (
	startGCPercent = 400
	gcPercent      = 50
	memoryLimit    = 1 << 30
)

func upCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole platform on this machine",
		Long: `Run the whole platform on this machine until it is interrupted: the Kubernetes API with the kinds of OpenFunction,
builds, an image registry, the gateway and the functions themselves. Everything is kept under --data-dir and is there
again after a restart, also after a crash.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begin := time.Now()
			if err := s.check(); err != nil {
				return err
			}
			log, err := logger(s.logLevel, s.logFormat)
			if err != nil {
				return err
			}
			return up(cmd.Context(), &s, log, func(p *platform) {
				fmt.Fprint(cmd.ErrOrStderr(), greeting(p, time.Since(begin)))
			})
		},
	}
	s.bind(cmd.Flags())
	return cmd
}

// up runs the platform until ctx ends. ready is called once, when functions can be applied and called.
func up(ctx context.Context, s *settings, log *slog.Logger, ready func(*platform)) error {
	if err := checkSystem(runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	debug.SetGCPercent(startGCPercent)
	debug.SetMemoryLimit(memoryLimit)
	kubeapi.RouteKlog(log)
	routeLibraries(log)
	p, err := open(ctx, s, log)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting
		}
		return err
	}
	err = p.serve(ctx, func() {
		debug.SetGCPercent(gcPercent)
		ready(p)
		debug.FreeOSMemory()
		if err := unmapProgram(); err != nil {
			log.Debug("what only the start needed stays mapped", "err", err)
		}
	})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain+20*time.Second)
	defer cancel()
	return errors.Join(err, p.close(end))
}

func greeting(p *platform, took time.Duration) string {
	text := fmt.Sprintf("ofn %s is up after %s, data in %s\n", version, took.Round(time.Millisecond), p.settings.dataDir)
	text += fmt.Sprintf("  functions   http://<function>.<namespace>.%s:%d/\n", p.settings.domain, port(p.gatewayListener.Addr()))
	text += fmt.Sprintf("  API         %s  (export KUBECONFIG=%s for kubectl)\n", p.api.URL(), p.api.KubeconfigPath())
	if p.settings.metricsAddress != "" {
		text += fmt.Sprintf("  metrics     http://%s/metrics\n", p.settings.metricsAddress)
	}
	flag := ""
	if p.settings.dataDir != dataDir() {
		flag = " --kubeconfig " + p.api.KubeconfigPath()
	}
	return text + fmt.Sprintf("Next, in another terminal:  ofn init hello && ofn deploy%s ./hello\n", flag)
}

func logger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level is %q; it is debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch {
	case format == "json", format == "" && !terminal(os.Stderr):
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	case format == "text", format == "":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	}
	return nil, fmt.Errorf("--log-format is %q; it is text or json", format)
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

func port(a net.Addr) int {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.Port
	}
	return 0
}
