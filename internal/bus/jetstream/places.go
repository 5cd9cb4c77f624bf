package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Places keeps small texts by key on a server, beside the buses: where the sources of events are that have no broker to know it. It is a
// source.Keeper.
type Places struct {
	// Server is Embedded or External.
	Server interface {
		JetStream(ctx context.Context) (jetstream.JetStream, error)
	}
	// Of begins every key: keys of different owners are different.
	Of string

	mu sync.Mutex
	kv jetstream.KeyValue
}

const (
	placesBucket = "ofn_places"
	placesWait   = 10 * time.Second
	placesAge    = 400 * 24 * time.Hour // of what nobody has written since: its source was deleted
)

// open finds the bucket, and makes it if there is none.
func (p *Places) open(ctx context.Context) (jetstream.KeyValue, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kv != nil {
		return p.kv, nil
	}
	js, err := p.Server.JetStream(ctx)
	if err != nil {
		return nil, err
	}
	kv, err := js.KeyValue(ctx, placesBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: placesBucket, Description: "Where sources of events are", TTL: placesAge})
	}
	if err != nil {
		return nil, fmt.Errorf("opening what keeps the places of sources: %w", explain(err))
	}
	p.kv = kv
	return kv, nil
}

func (p *Places) name(key string) string { return p.Of + "." + key }

func (p *Places) with(do func(context.Context, jetstream.KeyValue) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), placesWait)
	defer cancel()
	kv, err := p.open(ctx)
	if err != nil {
		return err
	}
	return do(ctx, kv)
}

// Load gives nil when there is nothing.
func (p *Places) Load(key string) (value []byte, err error) {
	err = p.with(func(ctx context.Context, kv jetstream.KeyValue) error {
		e, err := kv.Get(ctx, p.name(key))
		if err == nil {
			value = e.Value()
		}
		return absent(err)
	})
	return value, err
}

// Save replaces what is kept; it is durable then.
func (p *Places) Save(key string, value []byte) error {
	return p.with(func(ctx context.Context, kv jetstream.KeyValue) error {
		_, err := kv.Put(ctx, p.name(key), value)
		return err
	})
}

// Forget removes what is kept.
func (p *Places) Forget(key string) error {
	return p.with(func(ctx context.Context, kv jetstream.KeyValue) error { return absent(kv.Purge(ctx, p.name(key))) })
}

func absent(err error) error {
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	return err
}
