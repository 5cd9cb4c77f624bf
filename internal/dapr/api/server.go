// Package api is the API of a Dapr sidecar, over gRPC and HTTP, for many apps at once: the listener says which app calls.
package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

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

const (
	defaultBody = 4 << 20
	maxStreams  = 128 // of one gRPC connection
	buffer      = 4 << 10
)

// Server serves the API: one gRPC and one HTTP server for the listeners of all apps.
type Server struct {
	o      Options
	grpc   *grpc.Server
	http   *http.Server
	closed context.Context //nolint:containedctx // the life of the server
	close  context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	told   map[event.Name]map[string]string // metadata that apps set
	subs   map[subscriptionID]context.CancelFunc
}

// subscriptionID names a subscription to configuration of an app.
type subscriptionID struct {
	app event.Name
	id  string
}

// New makes a server that serves nothing yet.
func New(o Options) *Server {
	if o.MaxBody <= 0 {
		o.MaxBody = defaultBody
	}
	if o.ClusterDomain == "" {
		o.ClusterDomain = "cluster.local"
	}
	if o.Version == "" {
		o.Version = "ofn"
	}
	s := &Server{o: o, told: map[event.Name]map[string]string{}, subs: map[subscriptionID]context.CancelFunc{}}
	s.closed, s.close = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(o.MaxBody), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ReadBufferSize(buffer), grpc.WriteBufferSize(buffer),
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream),
		grpc.UnknownServiceHandler(s.proxy), grpc.ForceServerCodecV2(proxyCodec{}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	runtimev1.RegisterDaprServer(s.grpc, &service{s: s})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serveHTTP), Protocols: protocols,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			from := c.RemoteAddr().(appAddr)
			return context.WithValue(context.WithValue(ctx, appKey{}, from.app), lifeKey{}, from.life)
		},
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s
}

type (
	appKey  struct{}
	lifeKey struct{}
)

// caller is the app that a request comes from.
func (s *Server) caller(app event.Name) *caller {
	return &caller{Server: s, app: app, id: s.o.Runtime.AppID(app)}
}

// admitted tells whether a token is the app's.
func (s *Server) admitted(app event.Name, token string) bool {
	if s.o.Token == nil {
		return true
	}
	want := s.o.Token(app)
	return want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(token)) == 1
}

// Serve serves one app until ctx, or the server, ends. It closes both listeners, either of which may be nil.
func (s *Server) Serve(ctx context.Context, app event.Name, grpcListener, httpListener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	var wg sync.WaitGroup
	var errs [2]error
	serve := func(i int, l net.Listener, on func(net.Listener) error) {
		if l == nil {
			return
		}
		mine := stamp(ctx, l, app)
		wg.Go(func() {
			defer cancel()
			errs[i] = on(mine)
		})
		wg.Go(func() {
			<-ctx.Done()
			_ = mine.Close()
		})
	}
	serve(0, grpcListener, s.grpc.Serve)
	serve(1, httpListener, s.http.Serve)
	if grpcListener == nil && httpListener == nil {
		return errors.New("there is no listener to serve Dapr's API on")
	}
	wg.Wait()
	for i, err := range errs {
		if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
			errs[i] = nil
		}
	}
	return errors.Join(errs[:]...)
}

// Close ends what is served, and waits for it.
func (s *Server) Close() error {
	s.close()
	s.mu.Lock()
	for _, cancel := range s.subs {
		cancel()
	}
	s.mu.Unlock()
	s.grpc.Stop()
	err := s.http.Close()
	s.wg.Wait()
	return err
}
