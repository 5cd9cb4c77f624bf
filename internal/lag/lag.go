package lag

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openfunction/ofn/internal/lag/externalscaler"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// Helper asks sources with KEDA's scalers; helper.Helper is one.
type Helper interface {
	// Use keeps it running until done is called.
	Use() (done func())
	// Client is for one question. The error says why there is none, now or ever.
	Client() (externalscaler.ExternalScalerClient, error)
}

// Bus tells how many events wait on buses of the platform.
type Bus interface {
	Lag(ctx context.Context, namespace, bus, consumer string) (int64, error)
}

// Options of Triggers. All may be nil: what needs them is then refused.
type Options struct {
	Helper Helper
	Bus    Bus
	Now    func() time.Time // nil is time.Now
}

// Triggers opens what revisions are scaled by.
type Triggers struct{ opt Options }

// New makes Triggers.
func New(o Options) *Triggers {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Triggers{o}
}

// source is one opened trigger.
type source interface {
	poll(ctx context.Context) ([]scale.Value, bool, error)
	close()
}

// Open prepares a trigger and connects to nothing. poll asks it, one call at a time; its reading has an error when that failed. close gives
// back what it holds, after the last poll. The error of Open is the user's to mend.
func (t *Triggers) Open(w run.Watch) (poll func(context.Context) scale.Reading, close func(), err error) {
	s, err := t.source(w)
	if err != nil {
		return nil, nil, err
	}
	name := w.Title()
	resource := w.Type == typeCPU || w.Type == typeMemory
	return func(ctx context.Context) scale.Reading {
		values, active, err := s.poll(ctx)
		return scale.Reading{Trigger: name, Values: values, Active: active, Resource: resource, Err: err}
	}, s.close, nil
}

// The types that are asked here.
const (
	typeCPU    = "cpu"
	typeMemory = "memory"
	typeCron   = "cron"
	typeNATS   = "nats-jetstream"
)

// metadataBus makes a trigger of type nats-jetstream one of a bus of the platform.
const metadataBus = "eventBus"

func (t *Triggers) source(w run.Watch) (source, error) {
	switch w.Type {
	case "":
		return nil, errors.New("it has no type")
	case typeCPU, typeMemory:
		return newResource(w, t.opt.Now)
	}
	if w.MetricType != "" && w.MetricType != "AverageValue" && w.MetricType != "Value" {
		return nil, fmt.Errorf("metricType %q is not AverageValue or Value; Utilization is for cpu and memory", w.MetricType)
	}
	switch {
	case w.Type == typeCron:
		return newCron(w, t.opt.Now)
	case w.Type == typeNATS && w.Metadata[metadataBus] != "":
		return newBus(w, t.opt.Bus)
	case w.Type == "kubernetes-workload" || w.Type == "kubernetes-resource":
		return nil, errors.New("it counts objects of a cluster, which one machine does not have")
	case t.opt.Helper == nil:
		return nil, errors.New("this platform runs without the helper that asks it")
	}
	return newRemote(w, t.opt.Helper), nil
}
