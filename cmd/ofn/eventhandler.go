package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cluster"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/deliver/letters"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
	triggerrun "github.com/openfunction/ofn/internal/event/trigger/run"
	"github.com/openfunction/ofn/internal/telemetry"
)

// handlerSettings are what `ofn event-handler` can be told. Flags are the only source.
type handlerSettings struct {
	plan, stateDir          string
	address, metricsAddress string
	logSettings
	linger, drain time.Duration
}

func (s *handlerSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.plan, "plan", "", "file that says what to run")
	f.StringVar(&s.stateDir, "state-dir", filepath.Join(os.TempDir(), "ofn-events"), "folder in which sources keep their places")
	f.StringVar(&s.address, "address", fmt.Sprintf(":%d", cluster.PortHTTP), "address and port of sources that are called over HTTP")
	f.StringVar(&s.metricsAddress, "metrics-address", fmt.Sprintf(":%d", cluster.PortMetrics), "address and port of /metrics, /healthz, /readyz and /status")
	s.logSettings.bind(f)
	f.DurationVar(&s.linger, "linger", 0, "how long callers are served after the end was asked for, until they know")
	f.DurationVar(&s.drain, "drain-timeout", 15*time.Second, "how long what is under way may take to end")
}

// eventHandlerCommand is what pods of event sources and triggers run on a cluster.
func eventHandlerCommand() *cobra.Command {
	var s handlerSettings
	cmd := &cobra.Command{
		Use:    "event-handler",
		Short:  "Run event sources and triggers of a cluster, by a plan of `ofn operator`",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(s.logLevel, s.logFormat)
			if err != nil {
				return err
			}
			if s.plan == "" {
				return errors.New("--plan FILE is needed: `ofn operator` writes it for the pods that it makes")
			}
			text, err := os.ReadFile(s.plan)
			if err != nil {
				return fmt.Errorf("--plan: %w", err)
			}
			plan, err := cluster.ReadPlan(text)
			if err != nil {
				return err
			}
			return handleEvents(cmd.Context(), plan, &s, log)
		},
	}
	s.bind(cmd.Flags())
	return cmd
}

// handleEvents runs a plan until ctx ends.
func handleEvents(ctx context.Context, plan cluster.Plan, s *handlerSettings, log *slog.Logger) error {
	h, err := newEventHandler(plan, s, log)
	if err != nil {
		return err
	}
	serveCtx, stop := lingering(ctx, s.linger)
	defer stop()
	err = errors.Join(h.serve(serveCtx, s), h.close())
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// lingering ends some time after ctx.
func lingering(ctx context.Context, linger time.Duration) (context.Context, context.CancelFunc) {
	if linger <= 0 {
		return context.WithCancel(ctx)
	}
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		late := time.AfterFunc(linger, cancel)
		context.AfterFunc(later, func() { late.Stop() })
	})
	return later, cancel
}

// eventHandler runs one plan with the packages of one machine.
type eventHandler struct {
	plan    cluster.Plan
	events  *eventing
	metrics *telemetry.Metrics
	wrong   map[event.Ref]error // what the engine did not take
	closers []func() error
}

func newEventHandler(plan cluster.Plan, s *handlerSettings, log *slog.Logger) (h *eventHandler, err error) {
	h = &eventHandler{plan: plan, events: &eventing{hooks: newHooks()}, metrics: telemetry.New(version), wrong: map[event.Ref]error{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	h.events.hooks.settle()
	h.events.metrics = h.metrics.Events(h.events.observed, func() int64 { return -1 })
	h.events.dapr, err = dapr.New(dapr.Options{Log: log, Version: version, Files: filepath.Join(s.stateDir, "files")})
	if err != nil {
		return h, fmt.Errorf("preparing Dapr's runtime: %w", err)
	}
	h.closers = append(h.closers, h.events.dapr.Close)
	store, places, err := h.kept(log)
	if err != nil {
		return h, err
	}
	state := source.State{Dir: filepath.Join(s.stateDir, "sources"), Keeper: places}
	kinds := busKinds(h.events, log)
	delete(kinds, "embedded")
	h.events.engine, err = embedded.New(embedded.Options{
		Dapr: h.events.dapr, Sources: sourceKinds(h.events.hooks.Mux, h.events.dapr, objectsOf{rest.InClusterConfig}, state), State: state, Buses: kinds,
		Triggers: triggerrun.New(nil), Log: log, Drain: s.drain,
		Deliver: deliver.Options{Functions: toFunctions(), HostOf: h.hostOf, URIs: (&platform{}).outside(), Letters: store,
			Metrics: deliveryMetrics{h.events.metrics}},
	})
	if err != nil {
		return h, err
	}
	h.closers = append(h.closers, h.events.engine.Close)
	return h, nil
}

// kept is where dead letters go, and where sources keep their places; nil is nowhere, and in files.
func (h *eventHandler) kept(log *slog.Logger) (deliver.Letters, source.Keeper, error) {
	if h.plan.Letters == nil {
		return nil, nil, nil
	}
	_, o, err := streamOf(h.plan.Letters.Server, log)
	if err != nil {
		return nil, nil, err
	}
	server, err := jetstream.NewExternal(o)
	if err != nil {
		return nil, nil, fmt.Errorf("reaching the place of dead letters: %w", err)
	}
	h.closers = append(h.closers, server.Close)
	store := letters.New(server, letters.Options{MaxBytes: h.plan.Letters.MaxBytes})
	if h.plan.Owner == "" {
		return store, nil, nil
	}
	return store, &jetstream.Places{Server: server, Of: h.plan.Owner}, nil
}

// toFunctions calls functions at their addresses in the cluster.
func toFunctions() *http.Transport {
	d := net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 64, MaxIdleConns: 256, IdleConnTimeout: time.Minute, DisableCompression: true}
}

func (h *eventHandler) hostOf(fn event.Name) string { return h.plan.Functions[fn.String()] }

// close ends everything in the reverse order of opening.
func (h *eventHandler) close() error {
	var errs []error
	for i := len(h.closers) - 1; i >= 0; i-- {
		errs = append(errs, h.closers[i]())
	}
	return errors.Join(errs...)
}

// serve applies the plan, and answers until ctx ends.
func (h *eventHandler) serve(ctx context.Context, s *handlerSettings) error {
	h.apply(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	l, err := listen(ctx, s.metricsAddress, "--metrics-address")
	if err != nil {
		return err
	}
	group.Go(func() error { return serveHTTP(ctx, l, h.observability()) })
	if s.address != "" {
		l, err := listen(ctx, s.address, "--address")
		if err != nil {
			stop()
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return serveHTTP(ctx, l, h.events.hooks.Mux) })
	}
	return group.Wait()
}

// apply hands the plan to the engine. What it does not take is told in the status.
func (h *eventHandler) apply(ctx context.Context) {
	e := h.events.engine
	for _, b := range h.plan.Buses {
		h.note(event.Ref{Kind: event.KindBus, Name: b.Name}, e.ApplyBus(ctx, b))
	}
	for _, s := range h.plan.Sources {
		h.note(event.Ref{Kind: event.KindSource, Name: s.Name, Event: s.Event}, e.ApplySource(ctx, s))
	}
	for _, t := range h.plan.Triggers {
		h.note(event.Ref{Kind: event.KindTrigger, Name: t.Name}, e.ApplyTrigger(ctx, t))
	}
}

func (h *eventHandler) note(ref event.Ref, err error) {
	if err != nil {
		h.wrong[ref] = err
	}
}

// reports say how the sources and triggers of the plan stand.
func (h *eventHandler) reports() []cluster.Report {
	var refs []event.Ref
	for _, s := range h.plan.Sources {
		refs = append(refs, event.Ref{Kind: event.KindSource, Name: s.Name, Event: s.Event})
	}
	for _, t := range h.plan.Triggers {
		refs = append(refs, event.Ref{Kind: event.KindTrigger, Name: t.Name})
	}
	out := make([]cluster.Report, 0, len(refs))
	for _, ref := range refs {
		status, _ := h.events.engine.Status(ref)
		err := h.wrong[ref]
		for _, b := range h.plan.Buses {
			err = errors.Join(err, h.wrong[event.Ref{Kind: event.KindBus, Name: b.Name}])
		}
		if err != nil {
			status = event.Status{Reason: "Invalid", Message: err.Error(), LastError: err.Error(), Lag: -1}
		}
		out = append(out, cluster.Report{Ref: ref, Status: status})
	}
	return out
}

func (h *eventHandler) observability() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		for _, r := range h.reports() {
			if !r.Status.Ready {
				http.Error(w, r.Status.Reason, http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(h.reports()) // to who asked; nobody else is told
	})
	return mux
}
