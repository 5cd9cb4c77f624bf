package node_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
)

// sidecars serves until it is told to end, and counts.
type sidecars struct{ began, ended chan string }

func (s sidecars) Serve(ctx context.Context, namespace, function string, grpc, http net.Listener) error {
	s.began <- namespace + "/" + function + " " + grpc.Addr().String() + " " + http.Addr().String()
	<-ctx.Done()
	s.ended <- function
	return nil
}

// named is a listener of which only the address counts.
type named struct {
	net.Listener
	address string
}

func (n named) Addr() net.Addr { return &net.UnixAddr{Name: n.address} }

func TestDaprBesideCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sidecars{make(chan string, 4), make(chan string, 4)}
		driver := &fakeDriver{behave: func(int) behaviour {
			return behaviour{spec: func(sp instance.Spec) {
				for _, service := range sp.Services {
					address := map[int]string{3500: "http", 50001: "grpc"}[service.Port]
					service.Accept(named{address: address})
				}
			}}
		}}
		n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": driver}, Images: &fakeImages{root: node.Root{Config: node.Config{Entrypoint: []string{"x"}}}}, Dapr: s})
		if err != nil {
			t.Fatal(err)
		}
		r := run.Revision{Key: run.Key{Namespace: "ns", Name: "f-1"}, Function: "f", Image: "i", Port: 8080, Reachable: true, MinScale: 1, Dapr: true}
		if err := n.Apply(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got := <-s.began; got != "ns/f grpc http" {
			t.Errorf("served %s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.ended:
		default:
			t.Error("the API outlived the copy")
		}
	})
}

func TestDaprRefused(t *testing.T) {
	rev := run.Revision{Key: run.Key{Namespace: "ns", Name: "f-1"}, Function: "f", Image: "i", Port: 8080, Dapr: true}
	for _, c := range []struct {
		name, want string
		dapr       node.Dapr
		port       int
	}{
		{"none here", "does not offer", nil, 8080},
		{"port of gRPC", "port 50001", sidecars{}, 50001},
		{"port of HTTP", "port 3500", sidecars{}, 3500},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": &fakeDriver{}}, Images: &fakeImages{root: node.Root{Config: node.Config{Entrypoint: []string{"x"}}}}, Dapr: c.dapr})
			if err != nil {
				t.Fatal(err)
			}
			r := rev
			r.Port = c.port
			err = n.Apply(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Apply = %v, want %q", err, c.want)
			}
			if err := n.Close(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		})
	}
}
