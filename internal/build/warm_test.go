package build_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// warmer is a build.Warmer made of a function.
type warmer func(ctx context.Context) error

func (w warmer) Warm(ctx context.Context) error { return w(ctx) }

// Warming never runs beside a build, and goes on between them until it is through.
func TestWarmWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warming, attempts := false, 0
		w := build.WarmWhenIdle(strategy(func(context.Context, build.Request, io.Writer) (build.Result, error) {
			if warming {
				t.Error("a build began beside the warming")
			}
			time.Sleep(time.Second)
			if warming {
				t.Error("warming began beside a build")
			}
			return build.Result{}, nil
		}))
		builds := func(n int) {
			ended := make(chan struct{})
			for range n {
				go func() {
					_, err := w.Build(t.Context(), build.Request{}, io.Discard)
					if err != nil {
						t.Error(err)
					}
					ended <- struct{}{}
				}()
				time.Sleep(100 * time.Millisecond)
			}
			for range n {
				<-ended
			}
		}
		result := make(chan error)
		go func() {
			result <- w.Warm(t.Context(), warmer(func(ctx context.Context) error {
				attempts++
				warming = true
				defer func() { warming = false }()
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(10 * time.Second):
					return nil
				}
			}))
		}()
		synctest.Wait()
		builds(2)
		time.Sleep(time.Second)
		builds(1)
		if err := <-result; err != nil || attempts != 3 {
			t.Errorf("warmed in %d attempts: %v", attempts, err)
		}
		builds(1) // which waits for nothing
	})
}

func TestWarmEnds(t *testing.T) {
	w := build.WarmWhenIdle(strategy(func(ctx context.Context, _ build.Request, _ io.Writer) (build.Result, error) {
		<-ctx.Done()
		return build.Result{}, ctx.Err()
	}))
	broken := errors.New("broken")
	if err := w.Warm(t.Context(), warmer(func(context.Context) error { return broken })); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := w.Warm(ctx, warmer(func(ctx context.Context) error { cancel(); return ctx.Err() })); err != nil {
		t.Errorf("ended with the platform: %v", err)
	}
	synctest.Test(t, func(t *testing.T) { // ends while it waits for a build
		ctx, cancel := context.WithCancel(t.Context())
		go w.Build(ctx, build.Request{}, io.Discard)
		synctest.Wait()
		time.AfterFunc(time.Second, cancel)
		never := warmer(func(context.Context) error { t.Error("warmed beside a build"); return nil })
		if err := w.Warm(ctx, never); err != nil {
			t.Error(err)
		}
	})
}
