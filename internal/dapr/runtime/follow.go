package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/state"
)

// follow does what an app answered to an event of a binding: save state, call output bindings.
func (a *app) follow(ctx context.Context, answer *bindingAnswer) error {
	var errs []error
	if len(answer.states) > 0 {
		errs = append(errs, a.saveStates(ctx, answer))
	}
	if !answer.parallel {
		for _, to := range answer.to {
			errs = append(errs, a.sendTo(ctx, to, answer.data))
		}
		return errors.Join(errs...)
	}
	var wg sync.WaitGroup
	sent := make([]error, len(answer.to))
	for i, to := range answer.to {
		wg.Go(func() { sent[i] = a.sendTo(ctx, to, answer.data) })
	}
	wg.Wait()
	return errors.Join(append(errs, sent...)...)
}

func (a *app) sendTo(ctx context.Context, name string, data []byte) error {
	slot, err := a.find(name)
	if err != nil {
		return err
	}
	h, release, err := slot.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if h.Output == nil {
		return fmt.Errorf("component %s is no output binding", name)
	}
	_, err = h.Output.Invoke(ctx, &bindings.InvokeRequest{Data: data, Operation: bindings.CreateOperation})
	a.rt.Published(a.name, name, err)
	return err
}

func (a *app) saveStates(ctx context.Context, answer *bindingAnswer) error {
	slot, err := a.find(answer.store)
	if err != nil {
		return err
	}
	h, release, err := slot.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if h.State == nil {
		return fmt.Errorf("component %s is no state store", answer.store)
	}
	for _, s := range answer.states {
		key, err := StateKey(h.Spec, a.id(), s.key)
		if err != nil {
			return err
		}
		req := &state.SetRequest{Key: key, Value: s.value}
		if s.etag != "" {
			req.ETag = &s.etag
		}
		if err := h.State.Set(ctx, req); err != nil {
			return fmt.Errorf("saving state %q: %w", s.key, err)
		}
	}
	return nil
}
