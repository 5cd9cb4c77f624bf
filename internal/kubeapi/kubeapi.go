package kubeapi

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/rest"
)

// Server is a running control plane.
type Server struct {
	options Options
	dir     *dataDir
	pki     *pki
	etcd    *etcdServer
	api     *apiServer
	url     string

	stopControllers func()        // ends them and waits
	stop            func()        // ends the API servers
	done            chan struct{} // closed at their end
	ended           error         // why; set before done is closed

	closing sync.Once
	closed  error
}

// Start returns when the API is ready: everything stored is served again, the CRDs are established and the objects applied. The
// context bounds the start only; Close ends the server.
//
// A data directory in use is a *LockedError, a port in use a *PortError.
func Start(ctx context.Context, options Options) (*Server, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	dir, err := openDataDir(options.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{options: options, dir: dir}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	listener, err := listen(ctx, s.options)
	if err != nil {
		return err
	}
	s.url = "https://" + clientAddress(listener.Addr())
	if s.pki, err = openPKI(s.dir, s.hosts(), time.Now); err == nil {
		err = writeKubeconfig(s.dir.kubeconfig(), s.url, s.pki.ca, s.pki.admin)
	}
	if err == nil {
		s.etcd, err = startEtcd(ctx, s.dir.etcd(), s.options.Log)
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	wiring := chain{options: s.options, pki: s.pki, etcd: s.etcd, listener: listener, renew: s.renew}
	if s.api, err = wiring.build(life); err != nil {
		return errors.Join(err, listener.Close())
	}
	return s.run(ctx, life)
}

// run serves, installs what must be there and starts the controllers.
func (s *Server) run(ctx, life context.Context) error {
	for prefix, handler := range s.options.Handlers {
		s.api.front.GenericAPIServer.Handler.NonGoRestfulMux.HandlePrefix(prefix, handler)
	}
	prepared := s.api.front.GenericAPIServer.PrepareRun()
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		s.ended = prepared.RunWithContext(life)
	}()
	if err := s.install(ctx); err != nil {
		return err
	}
	var err error
	s.stopControllers, err = s.api.startControllers(life)
	s.etcd.log.started()
	return err
}

// renew replaces the certificates that are about to end, the kubeconfig's included.
func (s *Server) renew() (*keyPair, error) {
	serving, admin, err := s.pki.openLeaves()
	if err != nil {
		return nil, err
	}
	if admin != s.pki.admin {
		err = writeKubeconfig(s.dir.kubeconfig(), s.url, s.pki.ca, admin)
	}
	s.pki.serving, s.pki.admin = serving, admin
	return serving, err
}

// hosts are all names under which clients may reach the API.
func (s *Server) hosts() []string {
	return append([]string{"localhost", "127.0.0.1", "::1", s.options.BindAddress, loopbackName,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc"}, s.options.Hosts...)
}

// PortError says that the address to listen on is taken.
type PortError struct{ Address string }

// Error names the address and the way out.
func (e *PortError) Error() string {
	return e.Address + " is in use by another program; stop it or pass --api-port"
}

func listen(ctx context.Context, options Options) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", options.address())
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, &PortError{Address: options.address()}
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", options.address(), err)
	}
	return listener, nil
}

// clientAddress is where a client of this machine finds a listener, which may listen on all addresses.
func clientAddress(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return address.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

func randomToken() (string, error) {
	token := make([]byte, 32)
	if _, err := rand.Read(token); err != nil {
		return "", fmt.Errorf("making the loopback token: %w", err)
	}
	return hex.EncodeToString(token), nil
}

// awaitReady waits until every start-up task of the API servers is done and every informer synced.
func (s *Server) awaitReady(ctx context.Context) error {
	client, err := rest.HTTPClientFor(s.api.loopback)
	if err != nil {
		return fmt.Errorf("making the loopback client: %w", err)
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		reason := probe(ctx, client, s.url+"/readyz")
		if reason == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the API server: %w (last answer: %w)", ctx.Err(), reason)
		case <-s.done:
			return fmt.Errorf("the API server ended while starting: %w", s.ended)
		case <-ticker.C:
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// Config is the privileged client configuration of this process, bypassing RBAC: for the controllers, never for users.
func (s *Server) Config() *rest.Config { return rest.CopyConfig(s.api.loopback) }

// URL is where the API is served.
func (s *Server) URL() string { return s.url }

// KubeconfigPath is the administrator's kubeconfig: mode 0600, with a client certificate.
func (s *Server) KubeconfigPath() string { return s.dir.kubeconfig() }

// CA is the certificate of the authority, PEM: what clients and webhook configurations must trust.
func (s *Server) CA() []byte { return s.pki.ca.certPEM }

// ServingCert makes a certificate of the authority for another server of this process, such as the webhooks', valid for a year.
func (s *Server) ServingCert(hosts ...string) (tls.Certificate, error) {
	pair, err := s.pki.openLeaf("webhook", nil, servingTemplate("ofn-webhook", hosts))
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.X509KeyPair(pair.certPEM, pair.keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading back a serving certificate: %w", err)
	}
	return cert, nil
}

// Done is closed when the API server has ended: after Close, or by itself, which Close then explains.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close ends everything and gives the data directory back. What uses Config must have ended before. The context bounds the wait for
// requests under way. Further calls return what the first returned.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(func() { s.closed = s.close(ctx) })
	return s.closed
}

func (s *Server) close(ctx context.Context) error {
	if s.stopControllers != nil {
		s.stopControllers()
	}
	if s.stop != nil {
		s.stop()
	}
	var err error
	if s.done != nil {
		select {
		case <-s.done:
			err = s.ended
		case <-ctx.Done():
			err = fmt.Errorf("stopping the API server: %w", ctx.Err())
		}
	}
	if s.etcd != nil {
		err = errors.Join(err, s.etcd.close())
	}
	return errors.Join(err, s.dir.close())
}
