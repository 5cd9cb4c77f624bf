package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

// verdict is what an app said of an event.
type verdict struct {
	outcome outcome
	cause   error // of retry and drop
	code    int   // HTTP status or gRPC code
	broken  bool  // the connection is of no more use
}

// failed is the verdict of an attempt that may succeed when it is made again.
func failed(cause error, code int) verdict { return verdict{outcome: retry, cause: cause, code: code} }

// refusal is the verdict of an app that will never take the event.
func refusal(cause error, code int) verdict { return verdict{outcome: drop, cause: cause, code: code} }

type outcome int

const (
	success outcome = iota
	retry           // it failed and may succeed later
	drop            // it failed, or was refused, for good
	waiting         // the app was not reached: nothing was tried
)

func (o outcome) String() string { return [...]string{"success", "retry", "drop", "waiting"}[o] }

// channel is how events reach one copy of an app.
type channel interface {
	// topic gives one event of a topic to its path.
	topic(ctx context.Context, ev *topicEvent) verdict
	// topics gives several events of one path; the verdicts are in their order.
	topics(ctx context.Context, evs []*topicEvent) []verdict
	// binding gives an event of an input binding.
	binding(ctx context.Context, ev *bindingEvent) (*bindingAnswer, verdict)
	// subscriptions are those that the app asks for itself.
	subscriptions(ctx context.Context) ([]subscription, error)
	close()
}

// bindingEvent is one event of an input binding on its way to an app.
type bindingEvent struct {
	name     string // of the component
	route    string // HTTP path, without its slash
	data     []byte
	metadata map[string]string
}

// bindingAnswer is what an app wants done with its answer.
type bindingAnswer struct {
	data     []byte
	to       []string // output bindings
	parallel bool
	store    string
	states   []stateItem
}

type stateItem struct {
	key   string
	value []byte
	etag  string
}

// dialer connects to one copy.
type dialer = func(context.Context) (net.Conn, error)

// channels keeps connections to copies, for one app. Those that were not used for a while are closed.
type channels struct {
	mu   sync.Mutex
	open map[string]*pooled
}

type pooled struct {
	channel
	name string
	dial *lastDial
	used time.Time
	busy int
	gone bool // closed when it is not busy any more
}

// lastDial is how to reach a copy now: a connection that must be made anew is made the way of the call that needs it.
type lastDial struct {
	mu   sync.Mutex
	dial dialer
}

func (l *lastDial) set(d dialer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dial = d
}

func (l *lastDial) connect(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	d := l.dial
	l.mu.Unlock()
	if d == nil {
		return nil, errors.New("this copy of the function is gone")
	}
	return d(ctx)
}

const (
	idleChannel = 2 * time.Minute
	maxChannels = 256 // per app
)

// get is the channel to a copy, which put gives back.
func (c *channels) get(name string, dial dialer, create func(dialer) (channel, error)) (*pooled, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.open[name]; ok {
		p.dial.set(dial)
		p.used = time.Now()
		p.busy++
		return p, nil
	}
	c.evict()
	last := &lastDial{dial: dial}
	made, err := create(last.connect)
	if err != nil {
		return nil, err
	}
	if c.open == nil {
		c.open = map[string]*pooled{}
	}
	p := &pooled{channel: made, name: name, dial: last, used: time.Now(), busy: 1}
	c.open[name] = p
	return p, nil
}

// put gives a channel back; a broken one is not used again.
func (c *channels) put(p *pooled, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.busy--
	p.used = time.Now()
	if broken && c.open[p.name] == p {
		delete(c.open, p.name)
		p.gone = true
	}
	if p.gone && p.busy == 0 {
		p.close()
	}
}

// evict closes what was not used for long, and the least used when there are too many. mu is held.
func (c *channels) evict() {
	var oldest *pooled
	for name, p := range c.open {
		switch {
		case p.busy > 0:
		case time.Since(p.used) > idleChannel:
			p.close()
			delete(c.open, name)
		case oldest == nil || p.used.Before(oldest.used):
			oldest = p
		}
	}
	if len(c.open) >= maxChannels && oldest != nil {
		oldest.close()
		delete(c.open, oldest.name)
	}
}

func (c *channels) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.open {
		if p.gone = true; p.busy == 0 {
			p.close()
		}
	}
	c.open = nil
}

// newChannel makes a channel of a protocol.
func newChannel(protocol, token string, dial dialer) (channel, error) {
	switch protocol {
	case "grpc":
		return newGRPCChannel(token, dial)
	case "http":
		return newHTTPChannel(token, dial, false), nil
	case "h2c":
		return newHTTPChannel(token, dial, true), nil
	}
	return nil, fmt.Errorf("app protocol %q is not offered: set dapr.io/app-protocol to grpc, http or h2c", protocol)
}

// fromInput is the subscription of an input of a pub/sub component.
func fromInput(in event.Input) subscription {
	return subscription{
		Source: "input", Name: in.Name, Component: in.Component, Type: in.Type, Topic: in.Topic, Metadata: in.Metadata,
		DeadTopic: cmp.Or(in.DeadLetterTopic, in.Metadata["deadLetterTopic"]), Retry: in.Retry, Sink: in.DeadLetter,
	}
}

// fromDeclared is that of a Subscription object.
func fromDeclared(s event.Subscription) subscription {
	return subscription{
		Source: "declared", Name: s.Name, Component: s.Component, Topic: s.Topic, Rules: s.Routes, Default: s.Default,
		DeadTopic: s.DeadLetterTopic, Metadata: s.Metadata, Bulk: s.Bulk, BulkMax: s.BulkMessages, BulkWait: s.BulkAwait,
	}
}
