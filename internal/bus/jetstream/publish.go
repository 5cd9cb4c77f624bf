package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/openfunction/ofn/internal/bus"
)

const (
	queueLength  = 1024
	groupEvents  = 512     // written with one sync, at most
	groupBytes   = 4 << 20 // likewise
	groupFrom    = 8       // fewer are cheaper one by one
	writeTimeout = 20 * time.Second
)

// request is an event on its way to disk.
type request struct {
	msg  *nats.Msg
	id   string
	done chan result // takes one without blocking
}

type result struct {
	receipt bus.Receipt
	err     error
}

// publisher is the one goroutine that writes: what arrives while it waits for the disk is written together.
type publisher struct {
	queue chan *request
	quit  chan struct{}
	begin sync.Once
	end   sync.Once
	gone  chan struct{}
}

func (p *publisher) init() {
	p.queue, p.quit, p.gone = make(chan *request, queueLength), make(chan struct{}), make(chan struct{})
}

func (p *publisher) close() {
	p.end.Do(func() { close(p.quit) })
	p.begin.Do(func() { close(p.gone) }) // it never ran
	<-p.gone
}

// Publish implements bus.Bus. An error of ctx means that the event may or may not be on the bus.
func (b *Bus) Publish(ctx context.Context, m bus.Message) (bus.Receipt, error) {
	if m.Topic == "" {
		return bus.Receipt{}, fmt.Errorf("publishing to bus %s: the event has no topic", b.opts.Name)
	}
	b.publisher.begin.Do(func() { go b.write() })
	r := &request{msg: b.encode(m), done: make(chan result, 1)}
	r.id = r.msg.Header.Get(nats.MsgIdHdr)
	select {
	case b.publisher.queue <- r:
	case <-b.publisher.quit:
		return bus.Receipt{}, ErrClosed
	case <-ctx.Done():
		return bus.Receipt{}, ctx.Err()
	}
	select {
	case res := <-r.done:
		if res.err != nil {
			return bus.Receipt{}, fmt.Errorf("publishing to bus %s: %w", b.opts.Name, res.err)
		}
		return res.receipt, nil
	case <-b.publisher.gone:
		return bus.Receipt{}, ErrClosed
	case <-ctx.Done():
		return bus.Receipt{}, ctx.Err()
	}
}

func (b *Bus) write() {
	defer close(b.publisher.gone)
	var left *request // taken from the queue for the next group
	for {
		first := left
		if first == nil {
			select {
			case first = <-b.publisher.queue:
			case <-b.publisher.quit:
				return
			}
		}
		var group []*request
		group, left = b.group(first)
		ctx, cancel := context.WithTimeout(context.Background(), b.wait)
		b.store(ctx, group)
		cancel()
	}
}

// group adds to first what waits, up to the one that must not be written together with the others.
func (b *Bus) group(first *request) (group []*request, left *request) {
	group, size := []*request{first}, first.msg.Size()
	ids := map[string]bool{}
	if first.id != "" {
		ids[first.id] = true
	}
	for len(group) < groupEvents {
		select {
		case r := <-b.publisher.queue:
			if size += r.msg.Size(); size > groupBytes || ids[r.id] {
				return group, r
			}
			if r.id != "" {
				ids[r.id] = true
			}
			group = append(group, r)
		default:
			return group, nil
		}
	}
	return group, nil
}

func (b *Bus) store(ctx context.Context, group []*request) {
	err := b.server.Room()
	var js jetstream.JetStream
	if err == nil {
		js, err = b.open(ctx)
	}
	if err != nil {
		for _, r := range group {
			r.done <- result{err: err}
		}
		return
	}
	if b.server.failure().why() != nil { // of before: there may be room again
		if err := b.server.heal(ctx); err != nil {
			b.opts.Log.Warn("the event store cannot write", "error", err)
		}
	}
	limited, end := b.server.failure().until(ctx)
	defer end()
	if len(group) >= groupFrom && b.server.groups() && b.together(limited, js, group) {
		return
	}
	b.oneByOne(ctx, limited, js, group)
}

// together writes a group in one atomic batch, which the server syncs once. It answers false when the server wrote none of it
// because of one among them: each is then to have its own answer.
func (b *Bus) together(ctx context.Context, js jetstream.JetStream, group []*request) bool {
	const more = 256 // of header, for the batch
	nc, id := js.Conn(), nuid.Next()
	if slices.ContainsFunc(group, func(r *request) bool { return int64(r.msg.Size()+more) > nc.MaxPayload() }) {
		return false
	}
	for i, r := range group {
		msg := &nats.Msg{Subject: r.msg.Subject, Data: r.msg.Data, Header: make(nats.Header, len(r.msg.Header)+3)}
		for k, v := range r.msg.Header {
			msg.Header[k] = v
		}
		msg.Header["Nats-Batch-Id"] = []string{id}
		msg.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		if i < len(group)-1 {
			if nc.PublishMsg(msg) != nil {
				return false
			}
			continue
		}
		msg.Header["Nats-Batch-Commit"] = []string{"1"}
		answer, err := nc.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return false
		}
		return b.committed(answer, group)
	}
	return true
}

// committed reads the server's answer to a batch and answers for all of it.
func (b *Bus) committed(answer *nats.Msg, group []*request) bool {
	var ack struct {
		Sequence uint64          `json:"seq"`
		Count    uint64          `json:"count"`
		Error    json.RawMessage `json:"error"`
	}
	if json.Unmarshal(answer.Data, &ack) != nil || ack.Error != nil || ack.Count != uint64(len(group)) {
		return false
	}
	first := ack.Sequence - ack.Count + 1
	for i, r := range group {
		r.done <- result{receipt: bus.Receipt{Sequence: first + uint64(i)}}
	}
	return true
}

// oneByOne waits for the server as long as limited, and tries again as long as ctx.
func (b *Bus) oneByOne(ctx, limited context.Context, js jetstream.JetStream, group []*request) {
	futures := make([]jetstream.PubAckFuture, len(group))
	for i, r := range group {
		f, err := js.PublishMsgAsync(r.msg)
		if err != nil {
			r.done <- result{err: explain(err)}
			continue
		}
		futures[i] = f
	}
	for i, f := range futures {
		if f == nil {
			continue
		}
		receipt, err := wait(limited, f)
		if err != nil {
			receipt, err = b.again(ctx, js, group[i], err)
		}
		group[i].done <- result{receipt: receipt, err: err}
	}
}

func wait(ctx context.Context, f jetstream.PubAckFuture) (bus.Receipt, error) {
	select {
	case ack := <-f.Ok():
		return bus.Receipt{Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
	case err := <-f.Err():
		return bus.Receipt{}, err
	case <-ctx.Done():
	}
	select { // both may have happened
	case ack := <-f.Ok():
		return bus.Receipt{Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
	default:
		return bus.Receipt{}, fmt.Errorf("the server did not answer: %w", context.Cause(ctx))
	}
}

// again publishes once more if what was wrong can be put right.
func (b *Bus) again(ctx context.Context, js jetstream.JetStream, r *request, cause error) (bus.Receipt, error) {
	switch c := code(cause); {
	case c == codeStoreFailed && strings.Contains(cause.Error(), "maximum"):
		if err := b.makeRoom(ctx, js); err != nil {
			return bus.Receipt{}, err
		}
	case errors.Is(cause, errWrite), c == codeStoreFailed, c == codeStreamOffline, errors.Is(cause, jetstream.ErrJetStreamNotEnabled):
		b.reopen()
		if err := b.server.heal(ctx); err != nil {
			return bus.Receipt{}, fmt.Errorf("%w; %w", cause, err)
		}
	case errors.Is(cause, nats.ErrNoResponders), errors.Is(cause, jetstream.ErrNoStreamResponse):
		b.reopen()
		if _, err := b.open(ctx); err != nil {
			return bus.Receipt{}, err
		}
	default:
		return bus.Receipt{}, explain(cause)
	}
	limited, end := b.server.failure().until(ctx)
	defer end()
	ack, err := js.PublishMsg(limited, r.msg)
	if err != nil {
		if why := b.server.failure().why(); why != nil {
			err = why
		}
		return bus.Receipt{}, explain(err)
	}
	return bus.Receipt{Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
}
