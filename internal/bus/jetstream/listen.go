package jetstream

import (
	"context"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Listen says where an Embedded listens for other processes, who then must know the token.
type Listen struct {
	Host  string // all addresses when empty
	Port  int
	Token string
	// MonitorPort is that of the server's figures over HTTP, which tell of streams and consumers, not of events; 0 is none.
	MonitorPort int
}

// apply changes the options of a server.
func (l *Listen) apply(o *server.Options) {
	if l == nil {
		return
	}
	o.DontListen, o.Host, o.Port, o.Authorization = false, l.Host, l.Port, l.Token
	if o.Host == "" {
		o.Host = server.DEFAULT_HOST
	}
	if l.MonitorPort != 0 {
		o.HTTPHost, o.HTTPPort = o.Host, l.MonitorPort
	}
}

// login is how this process connects.
func (l *Listen) login() []nats.Option {
	if l == nil || l.Token == "" {
		return nil
	}
	return []nats.Option{nats.Token(l.Token)}
}

// Mend keeps a server that others use: one that gave up its disk is started anew as soon as there is room, until ctx ends. Those in
// this process who publish do the same by themselves.
func (e *Embedded) Mend(ctx context.Context) {
	const pause = 5 * time.Second
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f := e.failure()
		if f == nil || f.why() == nil {
			continue
		}
		if err := e.heal(ctx); err != nil && ctx.Err() == nil {
			e.opts.Log.Warn("the event store cannot be started anew yet", "dir", e.opts.Dir, "err", err)
		}
	}
}
