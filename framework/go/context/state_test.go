package context

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// keeper is a recorder that keeps the states of one store.
type keeper struct {
	recorder
	values map[string]string
}

func (k *keeper) GetState(_ context.Context, store, key string) ([]byte, error) {
	if v, ok := k.values[store+"/"+key]; ok {
		return []byte(v), nil
	}
	return nil, nil
}

func (k *keeper) SaveState(_ context.Context, store, key string, value []byte) error {
	if k.err == nil {
		k.values[store+"/"+key] = string(value)
	}
	return k.err
}

func (k *keeper) DeleteState(_ context.Context, store, key string) error {
	delete(k.values, store+"/"+key)
	return nil
}

func TestState(t *testing.T) {
	const states = `{"name":"f","states":{"cart":{"componentName":"cc","componentType":"state.redis"},"shared":{"componentName":"s"}}}`
	k := &keeper{values: map[string]string{}}
	ctx := call(t, states, k)
	if err := ctx.SaveState("cart", "a", []byte("1")); err != nil || k.values["cc/a"] != "1" {
		t.Errorf("saving: %v, %v", err, k.values)
	}
	if v, err := ctx.GetState("cart", "a"); err != nil || string(v) != "1" {
		t.Errorf("reading: %q, %v", v, err)
	}
	if err := ctx.DeleteState("cart", "a"); err != nil || len(k.values) > 0 {
		t.Errorf("deleting: %v, %v", err, k.values)
	}
	if v, err := ctx.GetState("cart", "a"); err != nil || v != nil {
		t.Errorf("reading what is not there: %q, %v", v, err)
	}
	if _, err := ctx.GetState("nowhere", "a"); err == nil || !strings.Contains(err.Error(), "cart, shared") {
		t.Errorf("an unknown state: %v", err)
	}
	k.err = errors.New("full")
	if err := ctx.SaveState("shared", "a", nil); !errors.Is(err, k.err) || !strings.Contains(err.Error(), `"shared"`) {
		t.Errorf("a store that fails: %v", err)
	}
	if err := call(t, states, &recorder{}).SaveState("cart", "a", nil); !errors.Is(err, ErrNoStates) {
		t.Errorf("no store: %v", err)
	}
}

func TestStateDocuments(t *testing.T) {
	ctx, err := parse(`{"name":"f","states":{"old":{"componentName":"o"}}}`, `{"states":{"new":{"componentName":"n","componentType":"state.redis"}}}`)
	if err != nil || len(ctx.States) != 1 || ctx.States["new"].ComponentName != "n" {
		t.Errorf("both documents: %v, %v", ctx, err)
	}
	for document, want := range map[string]string{
		`{"states":{"a":null}}`: "componentName",
		`{"states":{"a":{"componentName":"c","componentType":"pubsub.redis"}}}`: "state.",
	} {
		if _, err := parse(document, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", document, err)
		}
	}
}
