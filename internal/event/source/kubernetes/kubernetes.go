// Package kubernetes makes events of objects of the Kubernetes API that are added, changed and deleted. It goes on where it was
// after a restart, as far as the API remembers.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/openfunction/ofn/internal/event/source"
)

// Query says which objects.
type Query struct {
	APIVersion, Kind, Namespace, Name string
	LabelSelector, FieldSelector      string
	// From is the resource version after which changes are told; empty is what comes from now on.
	From string
}

// Change is one of an object.
type Change struct {
	Type            string // "add", "update", "delete"
	Namespace, Name string
	UID             string
	ResourceVersion string
	Object          []byte // JSON
}

// ErrForgotten is returned by a Watcher for a Query whose From the API does not remember any more.
var ErrForgotten = errors.New("the API does not remember the changes since then")

// Watcher watches the API.
type Watcher interface {
	// Watch tells of each change, in order, until ctx ends or each returns an error. started is called when it watches.
	Watch(ctx context.Context, q Query, started func(resourceVersion string), each func(Change) error) error
}

// spec is api/events/v1alpha1.KubernetesSpec.
type spec struct {
	APIVersion    string   `json:"apiVersion"`
	Kind          string   `json:"kind"`
	Namespace     string   `json:"namespace"`
	Name          string   `json:"name"`
	LabelSelector string   `json:"labelSelector"`
	FieldSelector string   `json:"fieldSelector"`
	Events        []string `json:"events"`
}

// platform is the namespace whose sources may watch others.
const platform = "openfunction"

// New makes the sources; state keeps where they are.
func New(w Watcher, state source.State) source.New {
	return func(c source.Config) (source.Source, error) {
		s := spec{Events: []string{"add", "update", "delete"}}
		if err := c.Decode(&s); err != nil {
			return nil, err
		}
		switch {
		case s.APIVersion == "":
			return nil, source.Required("apiVersion")
		case s.Kind == "":
			return nil, source.Required("kind")
		case s.Kind == "Secret" && c.Namespace != platform:
			return nil, source.Invalid{Field: "kind", Problem: "secrets may be watched from namespace " + platform + " only"}
		case s.Namespace == "":
			s.Namespace = c.Namespace
		case s.Namespace != c.Namespace && c.Namespace != platform:
			return nil, source.Invalid{Field: "namespace", Problem: "it must be " + c.Namespace + ", that of the EventSource"}
		}
		for _, e := range s.Events {
			if !slices.Contains([]string{"add", "update", "delete"}, e) {
				return nil, source.Invalid{Field: "events", Problem: "none of add, update and delete: " + e}
			}
		}
		return &watch{id: c.Identity, spec: s, watcher: w, state: state}, nil
	}
}

type watch struct {
	id      source.Identity
	spec    spec
	watcher Watcher
	state   source.State
}

type place struct {
	ResourceVersion string `json:"resourceVersion"`
}

func (w *watch) Run(ctx context.Context, out source.Out) error {
	var at place
	if _, err := w.state.Load(w.id, &at); err != nil {
		return err
	}
	s := w.spec
	q := Query{
		APIVersion: s.APIVersion, Kind: s.Kind, Namespace: s.Namespace, Name: s.Name, LabelSelector: s.LabelSelector, FieldSelector: s.FieldSelector, From: at.ResourceVersion,
	}
	started := func(version string) {
		if at.ResourceVersion == "" && version != "" {
			at.ResourceVersion = version
			if err := w.state.Save(w.id, at); err != nil {
				out.Trouble(err)
			}
		}
		out.Connected()
	}
	err := w.watcher.Watch(ctx, q, started, func(c Change) error { return w.take(ctx, out, c) })
	if errors.Is(err, ErrForgotten) && q.From != "" {
		if err := w.state.Forget(w.id); err != nil {
			return source.Ended(ctx, err)
		}
		return source.Ended(ctx, fmt.Errorf("%w: what changed meanwhile is missed", err))
	}
	return source.Ended(ctx, err)
}

func (w *watch) take(ctx context.Context, out source.Out, c Change) error {
	if slices.Contains(w.spec.Events, c.Type) {
		e := w.id.Make(c.UID+"/"+c.ResourceVersion+"/"+c.Type, "application/json", c.Object, time.Now())
		e.Subject = c.Namespace + "/" + c.Name
		e.SetExtension("partitionkey", c.UID)
		e.SetExtension("operation", c.Type)
		if err := out.Emit(ctx, e); err != nil {
			return err
		}
	}
	if c.ResourceVersion == "" {
		return nil
	}
	return w.state.Save(w.id, place{c.ResourceVersion})
}
