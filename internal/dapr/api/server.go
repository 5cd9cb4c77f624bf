// Package api is the API of a Dapr sidecar, over gRPC and HTTP, for many apps at once: the listener says which app calls.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"github.com/openfunction/ofn/internal/dapr/runtime"
	"github.com/openfunction/ofn/internal/event"
)

// Options are what the API needs; see dapr.Options.
type Options struct {
	Log           *slog.Logger
	Runtime       *runtime.Runtime
	Invoker       http.RoundTripper
	ClusterDomain string
	Token         func(event.Name) string
	MaxBody       int
	Version       string
}

// Server serves the API.
type Server struct{ options Options }

// New makes a server that serves nothing yet.
func New(o Options) *Server { return &Server{options: o} }

// Serve serves one app until ctx ends.
func (s *Server) Serve(ctx context.Context, app event.Name, grpc, http net.Listener) error {
	return errors.New("not there yet")
}

// Close ends all.
func (s *Server) Close() error { return nil }
