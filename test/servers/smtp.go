package servers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is what a mail server was given.
type Mail struct {
	From string
	To   []string
	Data []byte
}

// MailServer takes mail and keeps it. It runs in the test.
type MailServer struct {
	Addr     string
	User     string
	Password string

	mu    sync.Mutex
	mails []Mail
	came  chan struct{} // closed when a mail comes, then replaced
}

// SMTP is a mail server. With a Password it takes mail from User only.
func SMTP(t T, opts ...Option) *MailServer {
	t.Helper()
	o, l := build(opts), listen(t)
	m := &MailServer{Addr: l.Addr().String(), came: make(chan struct{})}
	if o.password != "" {
		m.User, m.Password = User, o.password
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: m}, nil }))
	s.Domain, s.AllowInsecureAuth = "localhost", true
	serve(t, func() error { return s.Serve(l) }, s.Close)
	return m
}

// Mails is what has come so far.
func (m *MailServer) Mails() []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Mail(nil), m.mails...)
}

// Came is closed when the next mail has come.
func (m *MailServer) Came() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.came
}

type session struct {
	server *MailServer
	mail   Mail
	known  bool
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.Password != "" && !s.known {
		return smtp.ErrAuthRequired
	}
	s.mail.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.To = append(s.mail.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading a mail: %w", err)
	}
	s.mail.Data = data
	m := s.server
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, s.mail)
	close(m.came)
	m.came = make(chan struct{})
	return nil
}

func (s *session) Reset() { s.mail = Mail{} }

func (s *session) Logout() error { return nil }

// AuthMechanisms and Auth make the session one that can log in.
func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.server.User || password != s.server.Password {
			return errors.New("wrong user or password")
		}
		s.known = true
		return nil
	}), nil
}

func listen(t T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening on loopback: %v", err)
	}
	return l
}

// serve runs a server of the test's own process until the test ends.
func serve(t T, run func() error, end func() error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = run() // it ends with an error of a closed listener
	}()
	t.Cleanup(func() {
		_ = end()
		<-done
	})
}
