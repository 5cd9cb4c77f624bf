package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/openfunction/ofn/internal/bus"
	busdapr "github.com/openfunction/ofn/internal/bus/dapr"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/cloudevents"
	"github.com/openfunction/ofn/internal/event/source/cron"
	sourcedapr "github.com/openfunction/ofn/internal/event/source/dapr"
	"github.com/openfunction/ofn/internal/event/source/file"
	"github.com/openfunction/ofn/internal/event/source/kafka"
	"github.com/openfunction/ofn/internal/event/source/kubernetes"
	"github.com/openfunction/ofn/internal/event/source/mqtt"
	"github.com/openfunction/ofn/internal/event/source/nats"
	"github.com/openfunction/ofn/internal/event/source/postgresql"
	"github.com/openfunction/ofn/internal/event/source/rabbitmq"
	"github.com/openfunction/ofn/internal/event/source/redis"
	"github.com/openfunction/ofn/internal/event/source/s3"
	"github.com/openfunction/ofn/internal/event/source/webhook"
)

// platformNamespace is where objects of the platform's owner are: its sources may see what those of others may not.
const platformNamespace = "openfunction"

// sources are the kinds of event sources.
func (p *platform) sources(e *eventing, state source.State) map[string]source.New {
	kinds := sourceKinds(e.hooks.Mux, e.dapr, objectsOf{p.apiConfig}, state)
	kinds["file"] = file.New(p.filesOf)
	return kinds
}

// sourceKinds are the kinds of event sources that need nothing of the machine that they run on.
func sourceKinds(mux *source.Mux, components *dapr.Runtime, objects kubernetes.Watcher, state source.State) map[string]source.New {
	return map[string]source.New{
		"cloudevents": cloudevents.New(mux),
		"cron":        cron.New(state),
		"dapr":        sourcedapr.New(daprSources{components}),
		"kafka":       kafka.New,
		"kubernetes":  kubernetes.New(objects, state),
		"mqtt":        mqtt.New,
		"nats":        nats.New,
		"postgresql":  postgresql.New,
		"rabbitmq":    rabbitmq.New,
		"redis":       redis.New,
		"s3":          s3.New(state),
		"webhook":     webhook.New(mux),
	}
}

// filesDir holds the files that components and sources of each namespace see.
func (p *platform) filesDir() string { return filepath.Join(p.settings.dataDir, "files") }

// filesOf is what a namespace means by a path: one of its own directory in the data directory. The platform's namespace sees the
// machine's files.
func (p *platform) filesOf(namespace, path string) (string, error) {
	if namespace == platformNamespace {
		return filepath.Clean(path), nil
	}
	own := filepath.Join(p.filesDir(), namespace)
	if err := os.MkdirAll(own, 0o755); err != nil {
		return "", fmt.Errorf("making the directory of namespace %s: %w", namespace, err)
	}
	return filepath.Join(own, filepath.Join("/", path)), nil
}

// daprSources connects components for sources.
type daprSources struct{ runtime *dapr.Runtime }

func componentOf(c sourcedapr.Component) event.Component {
	return event.Component{Name: event.Name{Namespace: c.Namespace, Name: c.Name}, Type: c.Type, Version: c.Version, Metadata: c.Metadata}
}

// Binding implements sourcedapr.Opener.
func (d daprSources) Binding(ctx context.Context, c sourcedapr.Component) (sourcedapr.Binding, error) {
	return d.runtime.Binding(ctx, componentOf(c))
}

// PubSub implements sourcedapr.Opener.
func (d daprSources) PubSub(ctx context.Context, c sourcedapr.Component) (sourcedapr.PubSub, error) {
	return d.runtime.PubSub(ctx, componentOf(c))
}

// busKinds are the kinds of buses.
func busKinds(e *eventing, log *slog.Logger) map[string]func(event.Bus) (bus.Bus, error) {
	component := func(b event.Bus) (bus.Bus, error) {
		if b.Component == nil {
			return nil, fmt.Errorf("bus %s names no component", b.Name)
		}
		return busdapr.New(busdapr.Options{Name: b.Name.String(), Log: log, Open: func(ctx context.Context, consumer string) (busdapr.PubSub, error) {
			c := *b.Component
			if consumer != "" {
				c.Name.Name = consumer // by which the broker knows who shares messages
			}
			return e.dapr.PubSub(ctx, c)
		}}), nil
	}
	return map[string]func(event.Bus) (bus.Bus, error){
		"embedded": func(b event.Bus) (bus.Bus, error) {
			o, _, err := streamOf(b, log)
			return jetstream.New(e.store, o), err
		},
		"jetStream": func(b event.Bus) (bus.Bus, error) {
			o, server, err := streamOf(b, log)
			if err != nil {
				return nil, err
			}
			external, err := jetstream.NewExternal(server)
			if err != nil {
				return nil, err
			}
			return owner{jetstream.New(external, o), external}, nil
		},
		"kafka": component,
		"dapr":  component,
	}
}

// owner is a bus with a server of its own.
type owner struct {
	*jetstream.Bus
	server *jetstream.External
}

// Close implements bus.Bus.
func (o owner) Close() error {
	err := o.Bus.Close()
	if closed := o.server.Close(); err == nil {
		err = closed
	}
	return err
}

// streamOf is how a bus is kept on JetStream, and on whose.
func streamOf(b event.Bus, log *slog.Logger) (jetstream.Options, jetstream.ExternalOptions, error) {
	o := jetstream.Options{Name: b.Name.String(), MaxAge: b.Retention.MaxAge, MaxBytes: b.Retention.MaxBytes, Duplicates: b.Retention.Duplicates, Log: log}
	if len(b.Options) == 0 {
		return o, jetstream.ExternalOptions{}, nil
	}
	j, err := event.JetStreamOptionsOf(b)
	if err != nil {
		return o, jetstream.ExternalOptions{}, err
	}
	o.Stream, o.Subject, o.Replicas = j.Stream, j.SubjectPrefix, j.Replicas
	return o, jetstream.ExternalOptions{URL: j.URL, User: j.Username, Password: j.Password, Token: j.Token, NKeySeed: j.NKey, Credentials: j.Credentials,
		CA: j.CA, Certificate: j.Certificate, Key: j.Key, Insecure: j.Insecure, Log: log}, nil
}
