package jetstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// ExternalOptions say how to reach a server that somebody else runs. Of the credentials, at most one kind is given.
type ExternalOptions struct {
	// URL is one address, or several with commas between: "nats://host:4222", "tls://host:4222".
	URL string

	User, Password string
	Token          string
	NKeySeed       string // "SU..."
	Credentials    string // what a .creds file holds: a user's JWT and its seed

	// TLS is used when it is set, when any of the following is, and with a tls: address.
	TLS bool
	// CA, Certificate and Key are PEM. CA is what the server's certificate is checked with, empty the system's; the others are ours.
	CA, Certificate, Key string
	// Insecure takes any certificate of the server.
	Insecure bool

	Log *slog.Logger
}

// External is a NATS server somewhere else, with JetStream. It is reached by the first call that needs it, and again whenever
// it comes back.
type External struct {
	opts ExternalOptions

	mu     sync.Mutex
	conn   *nats.Conn
	closed bool
}

// NewExternal checks the options; it does not connect yet.
func NewExternal(o ExternalOptions) (*External, error) {
	if o.URL == "" {
		return nil, errors.New("the address of the NATS server is missing: give url, such as nats://host:4222")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if _, err := o.dial(); err != nil {
		return nil, err
	}
	return &External{opts: o}, nil
}

// Conn implements Server.
func (e *External) Conn(ctx context.Context) (*nats.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, ErrClosed
	case e.conn != nil:
		return e.conn, nil
	}
	opts, err := e.opts.dial()
	if err != nil {
		return nil, err
	}
	wait := nats.DefaultTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	nc, err := nats.Connect(e.opts.URL, append(opts, nats.Timeout(max(wait, time.Millisecond)))...)
	if err != nil {
		return nil, e.refused(err)
	}
	e.conn = nc
	return nc, nil
}

// Status is nil while the server is reached.
func (e *External) Status() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.conn == nil:
		return errors.New("not connected yet")
	case e.conn.IsConnected():
		return nil
	}
	return e.refused(errors.Join(errors.New("the connection is lost"), e.conn.LastError()))
}

func (e *External) refused(err error) error {
	advice := "see that it runs and that this machine may reach it"
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) {
		advice = "see that the credentials of the bus are those of a user there"
	}
	return fmt.Errorf("NATS at %s: %w: %s", withoutPassword(e.opts.URL), err, advice)
}

// JetStream is Conn with its streams, for those that keep their own beside the buses.
func (e *External) JetStream(ctx context.Context) (jetstream.JetStream, error) {
	nc, err := e.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return jetstream.New(nc)
}

// Room implements Server: that server minds its own disk.
func (e *External) Room() error { return nil }

// never is the failure of servers that tell of theirs in answers.
var never = &failure{happened: make(chan struct{})}

func (e *External) failure() *failure { return never }

func (e *External) heal(context.Context) error { return nil }

// groups is false: older servers cannot, and how they sync is their owner's choice.
func (e *External) groups() bool { return false }

func (e *External) share() int64 { return -1 }

// Close ends the connection. What uses it must have ended.
func (e *External) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.conn != nil {
		e.conn.Close()
	}
	return nil
}

func (o ExternalOptions) dial() ([]nats.Option, error) {
	const lookAgain = 250 * time.Millisecond
	log := o.Log
	opts := []nats.Option{
		nats.Name("ofn"), nats.MaxReconnects(-1), nats.ReconnectWait(lookAgain), nats.PingInterval(20 * time.Second),
		nats.IgnoreAuthErrorAbort(), nats.ErrorHandler(complain(log)),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the NATS server", "url", withoutPassword(o.URL), "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("the NATS server is back", "url", withoutPassword(o.URL)) }),
	}
	secure, err := o.tls()
	if err != nil {
		return nil, err
	}
	if secure != nil {
		opts = append(opts, nats.Secure(secure))
	}
	credentials, err := o.credentials()
	return append(opts, credentials...), err
}

func (o ExternalOptions) credentials() ([]nats.Option, error) {
	var opts []nats.Option
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password))
	}
	if o.Token != "" {
		opts = append(opts, nats.Token(o.Token))
	}
	if o.NKeySeed != "" {
		pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(o.NKeySeed)))
		if err != nil {
			return nil, fmt.Errorf("the NKey seed of the NATS server cannot be read: %w; it begins with SU", err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("the NKey seed of the NATS server is no user's: %w", err)
		}
		opts = append(opts, nats.Nkey(public, pair.Sign))
	}
	if o.Credentials != "" {
		if !strings.Contains(o.Credentials, "BEGIN NATS USER JWT") {
			return nil, errors.New("the credentials of the NATS server cannot be read: give what the .creds file holds, not its path")
		}
		opts = append(opts, nats.UserCredentialBytes([]byte(o.Credentials)))
	}
	if len(opts) > 1 {
		return nil, errors.New("the NATS server is given several kinds of credentials: keep one of user, token, nkeySeed and credentials")
	}
	return opts, nil
}

func (o ExternalOptions) tls() (*tls.Config, error) {
	if !o.TLS && o.CA == "" && o.Certificate == "" && !o.Insecure && !strings.HasPrefix(o.URL, "tls:") {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure} //nolint:gosec // the user asked for it
	if o.CA != "" {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(o.CA)) {
			return nil, errors.New("the CA of the NATS server holds no PEM certificate")
		}
	}
	if o.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(o.Certificate), []byte(o.Key))
		if err != nil {
			return nil, fmt.Errorf("the certificate and key for the NATS server: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// withoutPassword is an address for people to read.
func withoutPassword(url string) string {
	parts := strings.Split(url, ",")
	for i, p := range parts {
		if scheme, rest, ok := strings.Cut(p, "://"); ok {
			if _, host, ok := strings.Cut(rest, "@"); ok {
				parts[i] = scheme + "://" + host
			}
		}
	}
	return strings.Join(parts, ",")
}
