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

	stopControllers func()     // ends them and waits
	stop            func()     // ends the API servers
	done            chan error // their end
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
		err = writeKubeconfig(s.dir.kubeconfig(), s.url, s.pki)
	}
	if err == nil {
		s.etcd, err = startEtcd(ctx, s.dir.etcd(), s.options.Log)
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	if s.api, err = (chain{options: s.options, pki: s.pki, etcd: s.etcd, listener: listener}).build(life); err != nil {
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
	s.done = make(chan error, 1)
	go func() { s.done <- prepared.RunWithContext(life) }()
	if err := s.install(ctx); err != nil {
		return err
	}
	var err error
	s.stopControllers, err = s.api.startControllers(life)
	return err
}

// hosts are all names under which clients may reach the API.
func (s *Server) hosts() []string {
	return append([]string{"localhost", "127.0.0.1", "::1", s.options.BindAddress, loopbackName}, s.options.Hosts...)
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
		case err := <-s.done:
			s.done <- err
			return fmt.Errorf("the API server ended while starting: %w", err)
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
	pair, err := s.pki.openLeaf("webhook", s.pki.servingTemplate("ofn-webhook", hosts))
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.X509KeyPair(pair.certPEM, pair.keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading back a serving certificate: %w", err)
	}
	return cert, nil
}

// Close ends everything and gives the data directory back. What uses Config must have ended before. The context bounds the wait for
// requests under way.
func (s *Server) Close(ctx context.Context) error {
	if s.stopControllers != nil {
		s.stopControllers()
	}
	if s.stop != nil {
		s.stop()
	}
	var err error
	if s.done != nil {
		select {
		case err = <-s.done:
		case <-ctx.Done():
			err = fmt.Errorf("stopping the API server: %w", ctx.Err())
		}
	}
	if s.etcd != nil {
		err = errors.Join(err, s.etcd.close())
	}
	return errors.Join(err, s.dir.close())
}
