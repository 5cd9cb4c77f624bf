package node_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
	"github.com/openfunction/ofn/internal/run/runtest"
)

// byImage has the images of the suite and gives the driver's copies away by their entrypoint.
type byImage struct{ fakeImages }

func (b *byImage) Root(ctx context.Context, image string, auth *run.Credentials) (node.Root, error) {
	if image == "missing" {
		return node.Root{}, fmt.Errorf("no image %s", image)
	}
	r, err := b.fakeImages.Root(ctx, image, auth)
	r.Config.Entrypoint = []string{"/" + image}
	return r, err
}

// byProgram is a driver whose copies do what their program is named for.
type byProgram struct{ fakeDriver }

func (d *byProgram) Start(ctx context.Context, s instance.Spec) (instance.Instance, error) {
	one := &fakeDriver{}
	if s.Process.Args[0] == "/broken" {
		one.behave = always(behaviour{listens: -1, lives: time.Millisecond, output: runtest.LastWords + "\n", exit: instance.Exit{Code: 1}})
	}
	return one.Start(ctx, s)
}

func TestConformance(t *testing.T) {
	runtest.Run(t, func(t *testing.T) runtest.Engine {
		n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": &byProgram{}}, Images: &byImage{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		call := func(ctx context.Context, k run.Key) error {
			r := n.Revision(k)
			if r == nil {
				return fmt.Errorf("no revision %s", k)
			}
			return r.Do(ctx, func(*activator.Endpoint) error { return nil })
		}
		return runtest.Engine{Runner: n, Good: "good", Broken: "broken", Missing: "missing", Call: call, Patience: 20 * time.Second}
	})
}
