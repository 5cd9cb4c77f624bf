package dev

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// attempt is a build with the start of what it made, or a start alone.
type attempt struct {
	cancel   context.CancelFunc
	finished chan outcome // gets exactly one
}

// outcome is what became of an attempt. Without process and error the program is the one that runs already.
type outcome struct {
	process *process
	err     error
	built   time.Duration // 0: nothing was built
	took    time.Duration
}

// begin runs an attempt.
func (s *session) begin(ctx context.Context, work func(ctx context.Context) outcome) {
	ctx, cancel := context.WithCancel(ctx)
	a := &attempt{cancel: cancel, finished: make(chan outcome, 1)}
	go func() { a.finished <- work(ctx); cancel() }() // the channel has room: it never waits
	s.attempt = a
}

// abandon ends an attempt, which takes as long as it takes to kill a compiler.
func (a *attempt) abandon() outcome {
	a.cancel()
	return <-a.finished
}

// drop abandons the attempt under way, with the version that it may have made.
func (s *session) drop() {
	if s.attempt == nil {
		return
	}
	out := s.attempt.abandon()
	if out.process == nil {
		return
	}
	left := out.process.program.Root
	if s.owed != nil && s.owed.Root == left {
		left = ""
	}
	s.opts.Programs.forget(left)
	s.retire(out.process, left)
}

// rebuild begins to build; a build under way is of no use any more.
func (s *session) rebuild(ctx context.Context, changed []string) {
	s.drop()
	s.report.building(changed)
	if s.current == nil {
		s.up.set(nil, "") // requests wait for what comes
	}
	s.pause = 0
	running := ""
	if s.current != nil {
		running = s.current.program.Digest
	}
	s.begin(ctx, func(ctx context.Context) outcome {
		began := time.Now()
		_, err := s.opts.Strategy.Build(ctx, s.request(), &progress{report: s.report})
		out := outcome{err: err, built: time.Since(began)}
		if err == nil && s.opts.Programs.Last().Digest != running {
			made := s.opts.Programs.Last()
			if out.process, out.err = s.start(ctx, made); out.err != nil {
				_ = os.RemoveAll(made.Root) // what stays goes when the session ends
			}
		}
		out.took = time.Since(began)
		return out
	})
}

func (s *session) request() build.Request {
	return build.Request{ID: "dev/" + s.opts.Name, Function: s.opts.Name, Env: s.opts.BuildEnv, Output: build.Output{Image: s.opts.Name, Local: true}}
}

// restart begins to start a program again, after a pause.
func (s *session) restart(ctx context.Context, p Program, pause time.Duration) {
	s.begin(ctx, func(ctx context.Context) outcome {
		began := time.Now()
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return outcome{err: ctx.Err()}
		}
		process, err := s.start(ctx, p)
		return outcome{process: process, err: err, took: time.Since(began)}
	})
}

// start starts a program and waits until it takes requests. A program that does not is ended.
func (s *session) start(ctx context.Context, program Program) (*process, error) {
	s.starts++ // attempts follow one another
	env := append(slices.Clone(s.opts.Env), "K_SERVICE="+s.opts.Name, "K_CONFIGURATION="+s.opts.Name, "K_REVISION="+s.opts.Name+"-dev")
	p, err := start(launch{program: program, dir: s.opts.Dir, sockets: s.sockets, name: strconv.Itoa(s.starts), env: append(env, program.Env...),
		stdout: newOutput(s.opts.Stdout, program.Root, s.opts.Shown), stderr: newOutput(s.opts.Stderr, program.Root, s.opts.Shown)})
	if err != nil {
		return nil, err
	}
	late := fmt.Errorf("the function does not listen after %v: a program with its own main must listen on the port that $PORT says", s.opts.StartTimeout)
	limited, cancel := context.WithTimeoutCause(ctx, s.opts.StartTimeout, late)
	defer cancel()
	if err := p.ready(limited); err != nil {
		p.stop(0)
		return nil, err
	}
	return p, nil
}

// take makes the outcome of an attempt what requests meet.
func (s *session) take(ctx context.Context, out outcome) {
	switch {
	case out.err != nil && ctx.Err() != nil:
	case out.err != nil:
		s.failed(ctx, out)
	case out.process == nil && s.current == nil:
		s.restart(ctx, s.opts.Programs.Last(), 0) // it ended while it was being found unchanged
	case out.process == nil:
		s.report.unchanged(out)
	default:
		before := s.up.set(out.process, "")
		s.current, s.owed = out.process, nil
		s.report.ready(out, s.opts.Listener.Addr())
		if before != nil {
			s.replaced(before)
		}
	}
}

// failed reports. What ran before keeps running, or is to run again.
func (s *session) failed(ctx context.Context, out outcome) {
	again := out.built > 0 && s.owed != nil
	text := s.report.failed(out, s.current != nil || again)
	switch {
	case s.current != nil:
	case again:
		s.restart(ctx, *s.owed, 0)
	default:
		s.up.set(nil, text)
	}
}

// replaced ends a version that has a successor.
func (s *session) replaced(old *process) {
	left := old.program.Root
	if left == s.current.program.Root {
		left = ""
	}
	s.retire(old, left)
}
