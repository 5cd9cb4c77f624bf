// Package dev serves the function in a directory while it is being written: each save builds it anew, and requests go to the new
// version once it is ready. There is no control plane, no image and no sandbox in it: the function is a process of the developer,
// on the developer's own system. Each version has a directory of its own, so that one which still serves meets none of the next one's files.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openfunction/ofn/internal/build"
)

// Options say what to serve. All but BuildEnv, Env, Shown and the durations must be set.
type Options struct {
	// Dir is watched, and where the function runs.
	Dir string
	// Shown is put before the paths in compile errors, so that they are right from where the user is; "" leaves them as they are.
	Shown string
	Name  string
	// Strategy builds; it gets its source from Source and puts its images into Programs.
	Strategy build.Strategy
	Programs *Programs
	BuildEnv map[string]string
	// Env is the environment of the function but for what a build and this package add, "KEY=value".
	Env []string
	// Listener is where the function is called. It is closed in the end.
	Listener net.Listener
	// Stdout and Stderr are the function's, Say is where this package reports.
	Stdout, Stderr, Say io.Writer
	// StartTimeout bounds how long a version may take to listen (default 30 s), Grace how long requests may finish (default 5 s).
	StartTimeout, Grace time.Duration
	// FirstPause is what passes before a function that keeps dying is started again; it doubles up to LastPause. Defaults: 250 ms, 10 s.
	FirstPause, LastPause time.Duration
}

func (o Options) complete() Options {
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{{&o.StartTimeout, 30 * time.Second}, {&o.Grace, 5 * time.Second}, {&o.FirstPause, 250 * time.Millisecond}, {&o.LastPause, 10 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.value
		}
	}
	return o
}

// Run builds and serves until ctx ends, which is no error. A function that cannot be built or does not start is reported, and is no error either:
// the next save may mend it.
func Run(ctx context.Context, o Options) error {
	o = o.complete()
	sockets, err := os.MkdirTemp("", "ofn-dev-") // short, because paths of sockets must be
	if err != nil {
		return errors.Join(fmt.Errorf("making a directory for sockets: %w", err), o.Listener.Close())
	}
	defer os.RemoveAll(sockets)
	w, err := newWatcher(ctx, o.Dir)
	if err != nil {
		return errors.Join(err, o.Listener.Close())
	}
	defer w.notify.Close()
	s := &session{opts: o, sockets: sockets, up: newUpstream(), report: &report{to: o.Say, shown: o.Shown}}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return w.run(running) })
	group.Go(func() error { return s.serve(running) })
	group.Go(func() error { s.run(running, w.changes); return nil })
	return group.Wait()
}

// session is one run. Its fields belong to the goroutine of run.
type session struct {
	opts    Options
	sockets string
	up      *upstream
	report  *report

	current  *process
	attempt  *attempt
	owed     *Program      // ended by itself and is to run again if no newer one comes
	starts   int           // names sockets
	pause    time.Duration // before the next start of a function that died
	retiring sync.WaitGroup
}

// serve answers requests until ctx ends.
func (s *session) serve(ctx context.Context) error {
	server := &http.Server{Handler: s.up, ReadHeaderTimeout: 30 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.opts.Listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", s.opts.Listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Grace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // Shutdown has closed the listener
	}
	<-failed
	return nil
}

// run does one thing after the other: changes, finished attempts, deaths.
func (s *session) run(ctx context.Context, changes <-chan []string) {
	s.rebuild(ctx, nil)
	for {
		var finished chan outcome
		if s.attempt != nil {
			finished = s.attempt.finished
		}
		var died chan struct{}
		if s.current != nil {
			died = s.current.done
		}
		select {
		case <-ctx.Done():
			s.end()
			return
		case changed := <-changes:
			s.rebuild(ctx, changed)
		case out := <-finished:
			s.attempt = nil
			s.take(ctx, out)
		case <-died:
			s.lost(ctx)
		}
	}
}

// lost starts a function again that ended by itself, unless an attempt is under way, which may replace it.
func (s *session) lost(ctx context.Context) {
	dead := s.current
	s.current = nil
	s.up.set(nil, "")
	s.report.died(dead)
	dead.stop(0)
	s.owed = &dead.program
	if s.attempt != nil {
		return
	}
	pause := time.Duration(0)
	if time.Since(dead.began) < s.opts.LastPause {
		pause = s.pause
		s.pause = min(max(2*pause, s.opts.FirstPause), s.opts.LastPause)
	} else {
		s.pause = 0
	}
	s.restart(ctx, dead.program, pause)
}

// end stops everything.
func (s *session) end() {
	if s.attempt != nil {
		if out := s.attempt.abandon(); out.process != nil {
			out.process.stop(0)
		}
	}
	s.up.set(nil, "ofn dev is ending")
	if s.current != nil {
		s.retire(s.current, "")
	}
	s.retiring.Wait()
}

// retire lets the requests of a process finish and stops it. left is the directory of a version that nobody needs afterwards, or empty.
func (s *session) retire(p *process, left string) {
	s.retiring.Go(func() {
		idle := make(chan struct{})
		go func() { // ends at the latest when the process has: then every request to it fails
			p.requests.Wait()
			close(idle)
		}()
		t := time.NewTimer(s.opts.Grace)
		defer t.Stop()
		select {
		case <-idle:
		case <-t.C:
		case <-p.done:
		}
		p.stop(s.opts.Grace)
		<-idle
		if left != "" {
			_ = os.RemoveAll(left) // what stays goes when the session ends
		}
	})
}
