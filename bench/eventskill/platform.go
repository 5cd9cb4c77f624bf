//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/deliver/letters"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/redis"
	"github.com/openfunction/ofn/internal/event/source/webhook"
	"github.com/openfunction/ofn/internal/event/trigger/run"
)

const (
	hookPath = "/events/ns/hook"
	lagPath  = "/lag"
	stream   = "in"
	group    = "platform"
	// busBytes is little, so that the bus is full now and then and makes room.
	busBytes = 64 << 20
)

// triggers are one that keeps the order of each key, and one that does not.
func triggers() []event.Trigger {
	to := func(topic string, ordered bool) event.Trigger {
		return event.Trigger{
			Name: event.Name{Namespace: "ns", Name: topic}, Bus: event.Name{Name: "default"}, Inputs: map[string]event.TriggerInput{"a": {Topic: topic}},
			Subscribers: []event.Subscriber{{
				Condition: "a", From: "all", Ordered: ordered, Sink: &event.Sink{Function: &event.Name{Namespace: "ns", Name: "f"}},
				Retry: event.Policy{Attempts: 10, Initial: 50 * time.Millisecond, Max: 5 * time.Second},
			}},
		}
	}
	return []event.Trigger{to("hooks", true), to("entries", false)}
}

// parts are what the platform is made of.
type parts struct {
	engine *embedded.Engine
	store  *jetstream.Embedded
	hooks  *source.Mux
	dead   *letters.Store
}

func assemble(dir string) (*parts, error) {
	log := slog.New(slog.DiscardHandler)
	p := &parts{store: jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: filepath.Join(dir, "store"), Log: log}), hooks: &source.Mux{}}
	p.dead = letters.New(p.store, letters.Options{})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, functionSocket))
	}
	var err error
	p.engine, err = embedded.New(embedded.Options{
		Log: log, State: source.State{Dir: filepath.Join(dir, "state")}, Triggers: run.New(nil),
		Sources: map[string]source.New{"webhook": webhook.New(p.hooks), "redis": redis.New},
		Buses: map[string]func(event.Bus) (bus.Bus, error){"embedded": func(b event.Bus) (bus.Bus, error) {
			return jetstream.New(p.store, jetstream.Options{Name: b.String(), MaxBytes: busBytes, Log: log}), nil
		}},
		Deliver: deliver.Options{
			Functions: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, DisableCompression: true}, Letters: p.dead,
			HostOf: func(event.Name) string { return "function" }, Timeout: 10 * time.Second, Log: log,
		},
	})
	return p, err
}

// platform runs until it is killed, or told to end.
func platform(ctx context.Context, dir, redisAddr string) error {
	p, err := assemble(dir)
	if err != nil {
		return err
	}
	entries, err := json.Marshal(map[string]string{"redisHost": redisAddr, "stream": stream, "group": group})
	if err != nil {
		return err
	}
	on := event.Name{Name: "default"}
	for _, s := range []event.Source{
		{Event: "hooks", Kind: "webhook", Spec: json.RawMessage(`{"path":"` + hookPath + `"}`), Topic: "hooks"},
		{Event: "entries", Kind: "redis", Spec: entries, Topic: "entries"},
	} {
		s.Name, s.Bus = event.Name{Namespace: "ns", Name: "source"}, on
		if err := p.engine.ApplySource(ctx, s); err != nil {
			return err
		}
	}
	for _, t := range triggers() {
		if err := p.engine.ApplyTrigger(ctx, t); err != nil {
			return err
		}
	}
	if err := p.serve(ctx, filepath.Join(dir, platformSocket)); err != nil {
		return err
	}
	return p.close()
}

func (p *parts) close() error {
	err := p.engine.Close()
	if cannot := p.store.Close(); err == nil {
		err = cannot
	}
	return err
}

func (p *parts) serve(ctx context.Context, socket string) error {
	mux := http.NewServeMux()
	mux.Handle("/", p.hooks)
	mux.HandleFunc(lagPath, func(w http.ResponseWriter, r *http.Request) {
		n, err := p.lag(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, n)
	})
	return serve(ctx, socket, mux)
}

func (p *parts) lag(ctx context.Context) (all int64, err error) {
	b, release, err := p.engine.Bus(event.Name{Name: "default"})
	if err != nil {
		return 0, err
	}
	defer release()
	for _, t := range triggers() {
		n := run.New(nil).Lag(ctx, t, b)
		if n < 0 {
			return 0, fmt.Errorf("the lag of trigger %s is not known", t.Name)
		}
		all += n
	}
	return all, nil
}

// serve takes the place of a former process at a socket, until ctx ends.
func serve(ctx context.Context, socket string, h http.Handler) error {
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
