// Package watchdog speaks the contract of the OpenFaaS watchdogs as their public documentation describes it: fprocess is the program, and mode
// says how calls reach it. With http it is a server behind upstream_url; with streaming and serializing it is run once for each call.
package watchdog

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/framework/shim/fork"
	"github.com/openfunction/ofn/framework/shim/host"
)

// The paths of the contract.
const (
	healthPath = "/_/health"
	readyPath  = "/_/ready"
)

// Settings are what the environment says.
type Settings struct {
	Mode     string
	Upstream *url.URL // http
	// ExecTimeout ends a call; 0 is left to the platform.
	ExecTimeout time.Duration
	MaxInflight int // 0 is unbounded
	ContentType string
	Debug       bool
	Combine     bool // standard error is part of the answer
	Variables   bool // Http_* for forked programs
	StaticPath  string
	MaxBody     int

	fprocess []string
	forks    int
}

// ignored are settings whose work the platform does.
var ignored = []string{"read_timeout", "write_timeout", "healthcheck_interval", "suppress_lock", "prefix_logs", "log_buffer_size", "jwt_auth", "buffer_http", "http_buffer_req_body"}

// Read reads the settings, and tells in the log which ones do nothing. Without fprocess the program is args.
func Read(args []string, e host.Env, log *slog.Logger) (Settings, error) {
	s := Settings{ContentType: e["content_type"], StaticPath: e["static_path"]}
	process, _ := e.First("fprocess", "function_process")
	if s.fprocess = strings.Fields(process); process == "" {
		s.fprocess = args
	}
	if err := s.mode(e); err != nil {
		return s, err
	}
	var err error
	for _, read := range []func(){
		func() { s.ExecTimeout, err = e.Duration("exec_timeout", 0) },
		func() { s.MaxInflight, err = e.Number("max_inflight", 0) },
		func() { s.Debug, err = e.Bool("write_debug", false) },
		func() { s.Combine, err = e.Bool("combine_output", false) },
		func() { s.Variables, err = e.Bool("cgi_headers", true) },
		func() { s.MaxBody, err = e.MaxBody() },
		func() { s.forks, err = e.Number("OFN_CONCURRENCY", 0) },
	} {
		if read(); err != nil {
			return s, err
		}
	}
	for _, k := range ignored {
		if e[k] != "" {
			log.Debug("a setting of the watchdog does nothing here: the platform does its work", "setting", k)
		}
	}
	if len(s.fprocess) == 0 && s.Mode != "static" {
		return s, fmt.Errorf("fprocess is not set: it is the command that the watchdog contract runs")
	}
	return s, nil
}

func (s *Settings) mode(e host.Env) error {
	upstream, name := e.First("upstream_url", "http_upstream_url")
	s.Mode = strings.ToLower(e["mode"])
	if s.Mode == "" {
		s.Mode = "streaming"
		if upstream != "" {
			s.Mode = "http"
		}
	}
	switch s.Mode {
	case "streaming", "serializing", "static":
		return nil
	case "fork": // the classic watchdog, which answers when the program has ended
		s.Mode = "serializing"
		return nil
	case "afterburn":
		return fmt.Errorf("mode is afterburn, which its makers gave up: use mode=http with a server")
	case "http":
	default:
		return fmt.Errorf("mode is %q: it must be http, streaming, serializing or static", s.Mode)
	}
	if upstream == "" {
		return fmt.Errorf("upstream_url is not set: mode=http needs the address that fprocess listens on, such as http://127.0.0.1:3000")
	}
	if !strings.Contains(upstream, "://") {
		upstream = "http://" + upstream
	}
	u, err := url.Parse(upstream)
	if err != nil || u.Host == "" || u.Scheme != "http" {
		return fmt.Errorf("%s is %q: it must be an address such as http://127.0.0.1:3000", name, upstream)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "80")
	}
	s.Upstream = u
	return nil
}

// New makes the contract that the settings ask for.
func New(args []string, e host.Env, log *slog.Logger) (host.Contract, error) {
	s, err := Read(args, e, log)
	if err != nil {
		return nil, err
	}
	c := calls{settings: s, failures: host.Failures{Log: log, Function: e.Name()}}
	switch s.Mode {
	case "http":
		return newServer(c, e), nil
	case "static":
		dir := s.StaticPath
		if dir == "" {
			return nil, fmt.Errorf("static_path is not set: mode=static needs the directory to serve")
		}
		return &static{calls: c, files: http.FileServer(http.Dir(dir))}, nil
	}
	f := &forked{calls: c, program: fork.Program{Command: host.Command{Args: slices.Clone(s.fprocess), Env: e.Child(nil)}, Timeout: s.ExecTimeout, Combine: s.Combine, Debug: s.Debug, Log: log}}
	if s.MaxInflight == 0 { // processes are bounded all the same, but calls wait
		n := s.forks
		if n == 0 {
			n = 64
		}
		f.turns = host.NewSlots(n, host.MaxWaiting)
	}
	return f, nil
}

// calls is what all modes share.
type calls struct {
	settings Settings
	failures host.Failures
}

// site serves with the paths of the contract and the bound of calls.
func (c calls) site(next http.Handler, failed <-chan error) host.Site {
	ready := func() bool { return true }
	if n := c.settings.MaxInflight; n > 0 {
		slots := host.NewSlots(n, 0)
		next, ready = slots.Limit(http.StatusTooManyRequests, next), func() bool { return !slots.Busy() }
	}
	return host.Site{Log: c.failures.Log, Failed: failed, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == healthPath:
			host.Answer(w, http.StatusOK, "OK")
		case r.URL.Path == readyPath && ready():
			host.Answer(w, http.StatusOK, "OK")
		case r.URL.Path == readyPath:
			host.Answer(w, http.StatusTooManyRequests, host.ErrFull.Error())
		default:
			next.ServeHTTP(w, r)
		}
	})}
}

// static serves files.
type static struct {
	calls
	files http.Handler
}

// Start implements host.Contract.
func (s *static) Start(context.Context) error { return nil }

// Serve implements host.Contract.
func (s *static) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	return s.site(s.files, nil).Serve(ctx, l, grace)
}
