package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/kubernetes"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
)

// api tells what a test gives it.
type api struct {
	queries chan kubernetes.Query
	changes chan kubernetes.Change
	fail    chan error
}

func newAPI() *api {
	return &api{queries: make(chan kubernetes.Query, 10), changes: make(chan kubernetes.Change, 10), fail: make(chan error, 1)}
}

func (a *api) Watch(ctx context.Context, q kubernetes.Query, started func(string), each func(kubernetes.Change) error) error {
	a.queries <- q
	started("5")
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-a.fail:
			return err
		case c := <-a.changes:
			if err := each(c); err != nil {
				return err
			}
		}
	}
}

func change(kind, version string) kubernetes.Change {
	return kubernetes.Change{Type: kind, Namespace: "ns", Name: "x", UID: "u", ResourceVersion: version, Object: []byte(`{"kind":"ConfigMap"}`)}
}

func TestChanges(t *testing.T) {
	a, state := newAPI(), source.State{Dir: t.TempDir()}
	config := sourcetest.Config(t, "kubernetes", map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "events": []string{"add", "delete"}})
	r := sourcetest.Start(t, kubernetes.New(a, state), config)
	r.Connected()
	if q := <-a.queries; q.Namespace != "ns" || q.From != "" {
		t.Fatalf("%+v", q)
	}
	a.changes <- change("add", "6")
	a.changes <- change("update", "7")
	a.changes <- change("delete", "8")
	for _, want := range []string{"u/6/add", "u/8/delete"} {
		if e := r.Next(); e.ID != want || e.Subject != "ns/x" || e.Extension("partitionkey") != "u" {
			t.Fatalf("%+v", e)
		}
	}
	a.fail <- errors.New("away") // it goes on where it was, after a restart too
	if q := <-a.queries; q.From != "8" {
		t.Fatalf("%+v", q)
	}
	a.fail <- fmt.Errorf("watching: %w", kubernetes.ErrForgotten)
	if q := <-a.queries; q.From != "" {
		t.Fatalf("%+v", q)
	}
	r.Stop()
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"kind": {"apiVersion": "v1"}, "version": {"kind": "Pod"}, "namespace": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "other"},
		"secret": {"apiVersion": "v1", "kind": "Secret"}, "events": {"apiVersion": "v1", "kind": "ConfigMap", "events": []string{"patch"}},
	} {
		var invalid source.Invalid
		if _, err := kubernetes.New(newAPI(), source.State{})(sourcetest.Config(t, "kubernetes", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
