package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event/cluster"
	"github.com/openfunction/ofn/internal/telemetry"
)

// busSettings are what `ofn event-bus` can be told. Flags are the only source.
type busSettings struct {
	dir, tokenFile                          string
	address, monitorAddress, metricsAddress string
	logSettings
}

func (s *busSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.dir, "dir", "", "folder that keeps the events")
	f.StringVar(&s.tokenFile, "token-file", "", "file with the token that clients must know")
	f.StringVar(&s.address, "address", fmt.Sprintf(":%d", cluster.PortNATS), "address and port of NATS")
	f.StringVar(&s.monitorAddress, "monitor-address", fmt.Sprintf(":%d", cluster.PortMonitor), "address and port of its figures, for KEDA")
	f.StringVar(&s.metricsAddress, "metrics-address", fmt.Sprintf(":%d", cluster.PortMetrics), "address and port of /metrics, /healthz and /readyz")
	s.logSettings.bind(f)
}

// eventBusCommand is what pods of event buses run on a cluster.
func eventBusCommand() *cobra.Command {
	var s busSettings
	cmd := &cobra.Command{
		Use:    "event-bus",
		Short:  "Keep the events of a cluster on disk: NATS JetStream",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(s.logLevel, s.logFormat)
			if err != nil {
				return err
			}
			return keepEvents(cmd.Context(), &s, log)
		},
	}
	s.bind(cmd.Flags())
	return cmd
}

// listen reads where a bus listens.
func (s *busSettings) listen() (*jetstream.Listen, error) {
	token, err := os.ReadFile(s.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("--token-file: %w", err)
	}
	l := &jetstream.Listen{Token: strings.TrimSpace(string(token))}
	if l.Token == "" {
		return nil, fmt.Errorf("--token-file: %s is empty: without a token anybody could read the events", s.tokenFile)
	}
	if l.Host, l.Port, err = hostPort(s.address); err != nil {
		return nil, fmt.Errorf("--address: %w", err)
	}
	if _, l.MonitorPort, err = hostPort(s.monitorAddress); err != nil {
		return nil, fmt.Errorf("--monitor-address: %w", err)
	}
	return l, nil
}

func hostPort(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.Atoi(text)
	return host, port, err
}

// keepEvents serves until ctx ends.
func keepEvents(ctx context.Context, s *busSettings, log *slog.Logger) error {
	l, err := s.listen()
	if err != nil {
		return err
	}
	store := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: s.dir, Listen: l, Log: log})
	if err := store.Open(ctx); err != nil {
		return err
	}
	log.Info("the event bus keeps events", "version", version, "dir", s.dir, "address", s.address)
	ctx, end := context.WithCancel(ctx)
	defer end()
	var mending sync.WaitGroup
	mending.Go(func() { store.Mend(ctx) })
	err = s.observe(ctx, store)
	end()
	mending.Wait()
	return errors.Join(err, store.Close())
}

// observe answers probes until ctx ends.
func (s *busSettings) observe(ctx context.Context, store *jetstream.Embedded) error {
	l, err := listen(ctx, s.metricsAddress, "--metrics-address")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.New(version).Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := store.Open(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return serveHTTP(ctx, l, mux)
}
