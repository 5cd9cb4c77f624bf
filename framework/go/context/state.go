package context

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// State is a Dapr state store that the function declared.
type State struct {
	ComponentName string `json:"componentName"`
	ComponentType string `json:"componentType"`
}

// StateStore is what the methods for states need of a Dapr runtime. A Sender that is one too serves them. It must be safe for use by
// several goroutines at once.
type StateStore interface {
	// GetState returns nil for a key that is not there.
	GetState(ctx context.Context, store, key string) ([]byte, error)
	SaveState(ctx context.Context, store, key string, value []byte) error
	// DeleteState of a key that is not there succeeds.
	DeleteState(ctx context.Context, store, key string) error
}

// ErrNoStates means that the process was built or started without a Dapr runtime that keeps states.
var ErrNoStates = errors.New("no Dapr runtime with states is attached to this function")

// GetState returns the value of a key in the named state of the function, nil when it has none. With TEST_MODE=on there is none.
func (ctx *FunctionContext) GetState(state, key string) (value []byte, err error) {
	err = ctx.withState("reading", state, key, func(s StateStore, component string) error {
		value, err = s.GetState(ctx.GetNativeContext(), component, key)
		return err
	})
	return value, err
}

// SaveState sets the value of a key in the named state of the function. With TEST_MODE=on it succeeds without saving.
func (ctx *FunctionContext) SaveState(state, key string, value []byte) error {
	return ctx.withState("saving", state, key, func(s StateStore, component string) error {
		return s.SaveState(ctx.GetNativeContext(), component, key, value)
	})
}

// DeleteState removes a key from the named state of the function, where it need not be. With TEST_MODE=on it succeeds without removing.
func (ctx *FunctionContext) DeleteState(state, key string) error {
	return ctx.withState("deleting", state, key, func(s StateStore, component string) error {
		return s.DeleteState(ctx.GetNativeContext(), component, key)
	})
}

func (ctx *FunctionContext) withState(doing, state, key string, use func(StateStore, string) error) error {
	declared, ok := ctx.States[state]
	switch {
	case !ok:
		return fmt.Errorf("state %q is not declared; the function's states are: %s", state, strings.Join(slices.Sorted(maps.Keys(ctx.States)), ", "))
	case ctx.testing:
		return nil
	}
	store, ok := ctx.sender.(StateStore)
	if !ok {
		return fmt.Errorf("%s key %q of state %q: %w", doing, key, state, ErrNoStates)
	}
	if err := use(store, declared.ComponentName); err != nil {
		return fmt.Errorf("%s key %q of state %q: %w", doing, key, state, err)
	}
	return nil
}

// checkStates checks what the document says of states. Where it leaves the type out, the component is not the function's own.
func (ctx *FunctionContext) checkStates() error {
	for name, s := range ctx.States {
		if s == nil || s.ComponentName == "" {
			return fmt.Errorf("state %q has no componentName", name)
		}
		if s.ComponentType != "" && buildingBlock(s.ComponentType) != "state" {
			return fmt.Errorf("state %q has component type %q; it must begin with state.", name, s.ComponentType)
		}
	}
	return nil
}
