// Package runtest is the suite that every run.Runner must pass.
package runtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/run"
)

// Engine is a runner and what it needs around it. Each test gets a new one.
type Engine struct {
	Runner run.Runner
	// Good is an image whose process serves on the port in PORT. Broken is one whose process writes LastWords and ends.
	// Missing does not exist.
	Good, Broken, Missing string
	// Call sends one request to a revision as its users do, which starts it when it is scaled to zero.
	Call func(ctx context.Context, k run.Key) error
	// Patience is how long anything may take.
	Patience time.Duration
}

// LastWords is what the process of a Broken image writes before it ends.
const LastWords = "broken on purpose"

// suite is one engine in one test.
type suite struct {
	Engine
	*testing.T
	ctx context.Context
	key run.Key
}

// Run runs the suite; begin makes an engine and ends it with the test.
func Run(t *testing.T, begin func(t *testing.T) Engine) {
	for name, test := range map[string]func(*suite){
		"a new revision becomes ready without a request": (*suite).becomesReady,
		"a request starts a copy from zero":              (*suite).fromZero,
		"applying again changes nothing":                 (*suite).idempotent,
		"the minimum is kept":                            (*suite).minimum,
		"a broken process is told":                       (*suite).broken,
		"a missing image is told":                        (*suite).missing,
		"a broken revision disturbs no other":            (*suite).isolated,
		"unknown keys are no error":                      (*suite).unknown,
		"a deleted revision is gone and can come back":   (*suite).deleted,
		"a bad annotation is refused":                    (*suite).refused,
	} {
		t.Run(name, func(t *testing.T) {
			e := begin(t)
			ctx, cancel := context.WithTimeout(t.Context(), e.Patience)
			defer cancel()
			test(&suite{e, t, ctx, run.Key{Namespace: "runtest", Name: "fn-1"}})
		})
	}
}

// revision is one to be applied.
func (s *suite) revision(image string, annotations ...string) run.Revision {
	r := run.Revision{Key: s.key, Function: "fn", Image: image, Reachable: true, Annotations: map[string]string{}}
	for i := 0; i < len(annotations); i += 2 {
		r.Annotations["autoscaling.knative.dev/"+annotations[i]] = annotations[i+1]
	}
	return r
}

func (s *suite) apply(r run.Revision) {
	s.Helper()
	if err := s.Runner.Apply(s.ctx, r); err != nil {
		s.Fatal(err)
	}
}

// until waits for a status, woken by Watch alone: a runner that does not tell of a change does not pass.
func (s *suite) until(k run.Key, what string, good func(run.Status) bool) run.Status {
	s.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	s.Runner.Watch(ctx, func(x run.Key) {
		if x == k {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	})
	for {
		st, ok := s.Runner.Status(ctx, k)
		if ok && good(st) {
			return st
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			s.Fatalf("%s is not %s: %+v (known: %v)", k, what, st, ok)
		}
	}
}

func ready(n int) func(run.Status) bool {
	return func(s run.Status) bool { return s.Phase == run.Ready && s.Ready == n }
}

func failed(s run.Status) bool { return s.Phase == run.Failed }

func (s *suite) becomesReady() {
	s.apply(s.revision(s.Good))
	if st := s.until(s.key, "ready", ready(1)); st.ImageDigest == "" || st.Restarts != 0 {
		s.Errorf("got %+v, want a digest and no restart", st)
	}
	if err := s.Call(s.ctx, s.key); err != nil {
		s.Error(err)
	}
}

func (s *suite) fromZero() {
	s.apply(s.revision(s.Good, "initial-scale", "0"))
	s.until(s.key, "ready without a copy", ready(0))
	if err := s.Call(s.ctx, s.key); err != nil {
		s.Fatal(err)
	}
	s.until(s.key, "ready with the copy the request started", ready(1))
}

func (s *suite) idempotent() {
	for range 5 {
		s.apply(s.revision(s.Good))
	}
	before := s.until(s.key, "ready", ready(1))
	s.apply(s.revision(s.Good))
	if err := s.Call(s.ctx, s.key); err != nil {
		s.Error(err)
	}
	if st, _ := s.Runner.Status(s.ctx, s.key); st != before {
		s.Errorf("the status was %+v and is %+v", before, st)
	}
}

func (s *suite) minimum() {
	r := s.revision(s.Good)
	r.MinScale = 2
	s.apply(r)
	s.until(s.key, "ready twice", ready(2))
	r.MinScale, r.MaxScale = 0, 1
	s.apply(r)
	s.until(s.key, "cut to the maximum", ready(1))
}

func (s *suite) broken() {
	s.apply(s.revision(s.Broken))
	st := s.until(s.key, "failed", failed)
	if st.Reason != "ContainerCrashed" || !strings.Contains(st.Message, LastWords) {
		s.Errorf("got %s: %s; want ContainerCrashed and the last words of the process", st.Reason, st.Message)
	}
	if err := s.Call(s.ctx, s.key); err == nil {
		s.Error("a request to a revision that cannot start succeeded")
	}
}

func (s *suite) missing() {
	s.apply(s.revision(s.Missing))
	if st := s.until(s.key, "failed", failed); st.Reason == "" || !strings.Contains(st.Message, s.Missing) {
		s.Errorf("got %s: %s; want a reason and the name of the image", st.Reason, st.Message)
	}
}

func (s *suite) isolated() {
	bad := s.revision(s.Broken)
	bad.Key.Name = "bad-1"
	s.apply(bad)
	s.apply(s.revision(s.Good))
	s.until(bad.Key, "failed", failed)
	s.until(s.key, "ready", ready(1))
}

func (s *suite) unknown() {
	if st, ok := s.Runner.Status(s.ctx, s.key); ok {
		s.Errorf("a revision never applied has the status %+v", st)
	}
	if err := s.Runner.Delete(s.ctx, s.key); err != nil {
		s.Error(err)
	}
}

func (s *suite) deleted() {
	for i := range 3 {
		s.apply(s.revision(s.Good))
		s.until(s.key, fmt.Sprintf("ready for time %d", i+1), ready(1))
		for range 2 {
			if err := s.Runner.Delete(s.ctx, s.key); err != nil {
				s.Fatal(err)
			}
		}
		if st, ok := s.Runner.Status(s.ctx, s.key); ok && st.Desired != 0 {
			s.Errorf("the deleted revision has the status %+v", st)
		}
	}
	if err := s.Call(s.ctx, s.key); err == nil {
		s.Error("a request to a deleted revision succeeded")
	}
}

func (s *suite) refused() {
	if err := s.Runner.Apply(s.ctx, s.revision(s.Good, "window", "1s")); err == nil || !strings.Contains(err.Error(), "autoscaling.knative.dev/window") {
		s.Errorf("got %v, want an error that names the annotation", err)
	}
}
