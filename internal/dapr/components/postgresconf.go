package components

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	auth "github.com/dapr/components-contrib/common/authentication/postgresql"
	"github.com/dapr/components-contrib/configuration"
	"github.com/dapr/components-contrib/configuration/postgres"
	"github.com/dapr/kit/logger"
	kitmeta "github.com/dapr/kit/metadata"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// postgresConfiguration is configuration.postgres with subscriptions of its own. Those of components-contrib end without a word when
// their connection does, and one row in which something is NULL or a number ends the program. Logins by a cloud's identity keep them.
type postgresConfiguration struct {
	configuration.Store
	log     logger.Logger
	connect func(context.Context) (*pgx.Conn, error) // nil: the subscriptions are those of the store within
	channel string

	mu     sync.Mutex
	closed bool
	ends   map[string]func() // each ends a subscription and waits
}

func newPostgresConfiguration(log logger.Logger) configuration.Store {
	return &postgresConfiguration{Store: postgres.NewPostgresConfigurationStore(log), log: log, ends: map[string]func(){}}
}

// connectWithin bounds each attempt to connect.
const connectWithin = 20 * time.Second

func (p *postgresConfiguration) Init(ctx context.Context, m configuration.Metadata) error {
	if err := p.Store.Init(ctx, m); err != nil {
		return err
	}
	var said struct {
		auth.PostgresAuthMetadata `mapstructure:",squash"`
		NotifyChannel             string `mapstructure:"notifyChannel" mapstructurealiases:"pgNotifyChannel"`
	}
	if err := kitmeta.DecodeMetadata(m.Properties, &said); err != nil {
		return fmt.Errorf("reading metadata: %w", err)
	}
	p.channel = said.NotifyChannel
	if said.UseAWSIAM || said.UseAzureAD {
		return nil
	}
	c, err := said.GetPgxPoolConfig()
	if err != nil {
		return fmt.Errorf("reading metadata: %w", err)
	}
	p.connect = func(ctx context.Context) (*pgx.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectWithin)
		defer cancel()
		return pgx.ConnectConfig(ctx, c.ConnConfig.Copy())
	}
	return nil
}

// channelName is what Dapr takes for one.
var channelName = regexp.MustCompile(`^[a-z0-9./_]{1,64}$`)

// Subscribe listens, from when it returns until ctx ends, and beyond ends of the connection.
func (p *postgresConfiguration) Subscribe(ctx context.Context, req *configuration.SubscribeRequest, handle configuration.UpdateHandler) (string, error) {
	if p.connect == nil {
		return p.Store.Subscribe(ctx, req, handle)
	}
	l := &pgListener{store: p, id: uuid.NewString(), keys: req.Keys, handle: handle, channel: p.channel}
	for k, v := range req.Metadata {
		if l.channel == "" && strings.EqualFold(k, "pgNotifyChannel") {
			l.channel = v
		}
	}
	if !channelName.MatchString(l.channel) {
		return "", fmt.Errorf("notifyChannel %q is no name of a channel: give metadata notifyChannel, of lower-case letters, digits and \"_\", by which the table tells of its changes", l.channel)
	}
	ctx, cancel := context.WithCancel(ctx)
	conn, err := l.listen(ctx)
	if err != nil {
		cancel()
		return "", err
	}
	done := make(chan struct{})
	end := func() { cancel(); <-done }
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.ends[l.id] = end
	}
	p.mu.Unlock()
	if closed {
		cancel()
	}
	go func() {
		defer close(done)
		l.run(ctx, conn)
	}()
	if closed {
		<-done
		return "", errors.New("the configuration store is closed")
	}
	return l.id, nil
}

// Unsubscribe ends a subscription; the last change was handed over when it returns.
func (p *postgresConfiguration) Unsubscribe(ctx context.Context, req *configuration.UnsubscribeRequest) error {
	if p.connect == nil {
		return p.Store.Unsubscribe(ctx, req)
	}
	p.mu.Lock()
	end, ok := p.ends[req.ID]
	delete(p.ends, req.ID)
	p.mu.Unlock()
	if !ok {
		return fmt.Errorf("there is no subscription %q", req.ID)
	}
	end()
	return nil
}

func (p *postgresConfiguration) Close() error {
	p.mu.Lock()
	p.closed = true
	ends := slices.Collect(maps.Values(p.ends))
	clear(p.ends)
	p.mu.Unlock()
	for _, end := range ends {
		end()
	}
	return p.Store.Close()
}

// pgListener is one subscription.
type pgListener struct {
	store   *postgresConfiguration
	id      string
	channel string
	keys    []string // none: all
	handle  configuration.UpdateHandler
}

func (l *pgListener) listen(ctx context.Context) (*pgx.Conn, error) {
	conn, err := l.store.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to listen to %s: %w", l.channel, err)
	}
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{l.channel}.Sanitize()); err != nil {
		return nil, errors.Join(fmt.Errorf("listening to %s: %w", l.channel, err), hangUp(ctx, conn))
	}
	return conn, nil
}

// hangUp closes a connection whose context may be over.
func hangUp(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return conn.Close(ctx)
}

// run hands changes over until ctx ends. After the end of a connection it hands over what there is: some of it may have changed meanwhile.
func (l *pgListener) run(ctx context.Context, conn *pgx.Conn) {
	wait := backoff.NewExponentialBackOff()
	for ctx.Err() == nil {
		if conn != nil {
			err := l.read(ctx, conn)
			_ = hangUp(ctx, conn)
			if ctx.Err() != nil {
				return
			}
			l.store.log.Warnf("listening to %s goes on with another connection: %v", l.channel, err)
		}
		var err error
		if conn, err = l.listen(ctx); err == nil {
			err = l.all(ctx)
		}
		if err == nil {
			wait.Reset()
			continue
		}
		l.store.log.Warnf("configuration changes are not heard of: %v", err)
		pause := time.NewTimer(wait.NextBackOff())
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
	if conn != nil {
		_ = hangUp(ctx, conn)
	}
}

func (l *pgListener) read(ctx context.Context, conn *pgx.Conn) error {
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		key, item, err := changed(n.Payload)
		switch {
		case err != nil:
			l.store.log.Warnf("what %s tells is no change of configuration: %v", l.channel, err)
		case len(l.keys) == 0 || slices.Contains(l.keys, key):
			l.tell(ctx, map[string]*configuration.Item{key: item})
		}
	}
}

// all hands over what is there.
func (l *pgListener) all(ctx context.Context) error {
	got, err := l.store.Get(ctx, &configuration.GetRequest{Keys: l.keys})
	if err != nil {
		return err
	}
	if len(got.Items) > 0 {
		l.tell(ctx, got.Items)
	}
	return nil
}

func (l *pgListener) tell(ctx context.Context, items map[string]*configuration.Item) {
	if err := l.handle(ctx, &configuration.UpdateEvent{ID: l.id, Items: items}); err != nil && ctx.Err() == nil {
		l.store.log.Warnf("handing a change of configuration over: %v", err)
	}
}

// changed reads a notification: {"data": a row}, whose columns key, value, version and metadata may be spelled in any case.
func changed(payload string) (key string, item *configuration.Item, err error) {
	var said struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(payload), &said); err != nil {
		return "", nil, err
	}
	item = &configuration.Item{Metadata: map[string]string{}}
	for column, v := range said.Data {
		switch strings.ToLower(column) {
		case "key":
			key = scalar(v)
		case "value":
			item.Value = scalar(v)
		case "version":
			item.Version = scalar(v)
		case "metadata":
			var m map[string]json.RawMessage
			if err := json.Unmarshal(v, &m); err != nil {
				return "", nil, fmt.Errorf("metadata of %s: %w", key, err)
			}
			for k, v := range m {
				item.Metadata[k] = scalar(v)
			}
		}
	}
	if key == "" {
		return "", nil, errors.New("it names no key")
	}
	return key, item, nil
}

// scalar is JSON as a text: that of a string, nothing for null, the JSON itself otherwise.
func scalar(v json.RawMessage) string {
	var s *string
	if json.Unmarshal(v, &s) != nil {
		return string(v)
	}
	if s == nil {
		return ""
	}
	return *s
}
