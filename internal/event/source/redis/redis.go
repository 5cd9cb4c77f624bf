// Package redis takes the entries of a Redis stream, the elements of a list or the messages of a channel. Entries and elements are
// kept by Redis until their events are safe; messages of a channel are not kept by anybody.
package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.RedisSpec.
type spec struct {
	RedisHost          string `json:"redisHost"`
	RedisPassword      string `json:"redisPassword"`
	RedisUsername      string `json:"redisUsername"`
	EnableTLS          bool   `json:"enableTLS"`
	Failover           bool   `json:"failover"`
	SentinelMasterName string `json:"sentinelMasterName"`
	RedisType          string `json:"redisType"`
	RedisDB            int    `json:"redisDB"`
	DialTimeout        string `json:"dialTimeout"`
	ReadTimeout        string `json:"readTimeout"`
	WriteTimeout       string `json:"writeTimeout"`
	PoolSize           int    `json:"poolSize"`
	PoolTimeout        string `json:"poolTimeout"`
	MaxConnAge         string `json:"maxConnAge"`
	MinIdleConns       int    `json:"minIdleConns"`
	IdleTimeout        string `json:"idleTimeout"`
	Stream             string `json:"stream"`
	Group              string `json:"group"`
	List               string `json:"list"`
	Channel            string `json:"channel"`
}

// New makes a source.
func New(c source.Config) (source.Source, error) {
	var s spec
	if err := c.Decode(&s); err != nil {
		return nil, err
	}
	if s.RedisHost == "" {
		return nil, source.Required("redisHost")
	}
	set := 0
	for _, f := range []string{s.Stream, s.List, s.Channel} {
		if f != "" {
			set++
		}
	}
	switch {
	case set > 1:
		return nil, source.Invalid{Field: "stream", Problem: "only one of stream, list and channel may be set"}
	case set == 0:
		s.Stream = c.Event
	}
	if s.Group == "" {
		s.Group = c.Consumer()
	}
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	return &reader{id: c.Identity, spec: s, options: o}, nil
}

// options are those of the driver. It must not send a command again by itself: a read whose answer was lost has moved entries
// into this reader's care, and only a new start looks there.
func (s spec) options() (*redis.UniversalOptions, error) {
	o := &redis.UniversalOptions{
		Addrs: strings.Split(s.RedisHost, ","), DB: s.RedisDB, Username: s.RedisUsername, Password: s.RedisPassword, ClientName: "ofn",
		MaxRetries: -1, PoolSize: s.PoolSize, MinIdleConns: s.MinIdleConns, IsClusterMode: s.RedisType == "cluster",
		DialTimeout: 5 * time.Second,
	}
	if s.Failover {
		if s.SentinelMasterName == "" {
			return nil, source.Invalid{Field: "sentinelMasterName", Problem: "failover needs it"}
		}
		o.MasterName = s.SentinelMasterName
	}
	if s.EnableTLS {
		t, err := source.TLS("", "", "", false)
		if err != nil {
			return nil, err
		}
		o.TLSConfig = t
	}
	for _, d := range []struct {
		field, value string
		into         *time.Duration
	}{
		{"dialTimeout", s.DialTimeout, &o.DialTimeout}, {"readTimeout", s.ReadTimeout, &o.ReadTimeout}, {"writeTimeout", s.WriteTimeout, &o.WriteTimeout},
		{"poolTimeout", s.PoolTimeout, &o.PoolTimeout}, {"maxConnAge", s.MaxConnAge, &o.ConnMaxLifetime}, {"idleTimeout", s.IdleTimeout, &o.ConnMaxIdleTime},
	} {
		if err := duration(d.field, d.value, d.into); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// duration reads "5s", or a number of milliseconds as Dapr does.
func duration(field, value string, into *time.Duration) error {
	if value == "" {
		return nil
	}
	if ms, err := strconv.ParseInt(value, 10, 64); err == nil {
		*into = time.Duration(ms) * time.Millisecond
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return source.Invalid{Field: field, Problem: "it must be a duration such as 5s, or milliseconds"}
	}
	*into = d
	return nil
}

type reader struct {
	id      source.Identity
	spec    spec
	options *redis.UniversalOptions
}

const (
	window = 64
	block  = 2 * time.Second // a read waits for so long
)

func (r *reader) Run(ctx context.Context, out source.Out) error {
	db := redis.NewUniversalClient(r.options)
	defer func() { _ = db.Close() }()
	if err := db.Ping(ctx).Err(); err != nil {
		return source.Ended(ctx, denied(fmt.Errorf("connecting to Redis at %s: %w", r.spec.RedisHost, err)))
	}
	var err error
	switch {
	case r.spec.List != "":
		err = r.list(ctx, db, out)
	case r.spec.Channel != "":
		err = r.channel(ctx, db, out)
	default:
		err = r.stream(ctx, db, out)
	}
	return source.Ended(ctx, denied(err))
}

func denied(err error) error {
	if err == nil {
		return nil
	}
	for _, code := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "invalid username-password pair", "invalid password", "without any password configured"} {
		if strings.Contains(err.Error(), code) { // Redis has no other way to say it
			return fmt.Errorf("%w: %w", source.ErrDenied, err)
		}
	}
	return err
}

// stream reads as the only member of a group: what it did not acknowledge before is read first.
func (r *reader) stream(ctx context.Context, db redis.UniversalClient, out source.Out) error {
	s := r.spec
	if err := db.XGroupCreateMkStream(ctx, s.Stream, s.Group, "$").Err(); err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return fmt.Errorf("making group %s of stream %s: %w", s.Group, s.Stream, err)
	}
	out.Connected()
	w := source.NewWindow(ctx, window, out.Emit)
	err := r.entries(ctx, db, w)
	if closed := w.Close(); err == nil {
		err = closed
	}
	return err
}

func (r *reader) entries(ctx context.Context, db redis.UniversalClient, w *source.Window) error {
	s, after := r.spec, "0" // what was read before and not acknowledged; then ">", what is new
	for ctx.Err() == nil {
		got, err := db.XReadGroup(ctx, &redis.XReadGroupArgs{Group: s.Group, Consumer: r.id.Consumer(), Streams: []string{s.Stream, after}, Count: window, Block: block}).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("reading stream %s: %w", s.Stream, err)
		}
		n := 0
		for _, stream := range got {
			for _, entry := range stream.Messages {
				n++
				if after != ">" {
					after = entry.ID
				}
				if entry.Values == nil { // it was deleted, or trimmed away, before its event was safe: nothing is left of it
					r.acknowledge(ctx, db, entry.ID)
					continue
				}
				if err := w.Add(r.id.Message(nil, "", s.Stream+"/"+entry.ID, payload(entry.Values), at(entry.ID)), func() { r.acknowledge(ctx, db, entry.ID) }); err != nil {
					return err
				}
			}
		}
		if n == 0 {
			after = ">"
		}
	}
	return nil
}

// acknowledge may fail: the entry comes again then.
func (r *reader) acknowledge(ctx context.Context, db redis.UniversalClient, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = db.XAck(ctx, r.spec.Stream, r.spec.Group, id).Err()
}

// payload is the field "data", as Dapr writes it, or all fields as JSON.
func payload(values map[string]any) []byte {
	if data, ok := values["data"].(string); ok {
		return []byte(data)
	}
	b, _ := json.Marshal(values) // strings only
	return b
}

// at is the time in the id of an entry.
func at(id string) time.Time {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// list moves each element to a list of its own until its event is safe: a crash leaves it there, and it is read first then.
func (r *reader) list(ctx context.Context, db redis.UniversalClient, out source.Out) error {
	from, under := r.spec.List, r.spec.List+":"+r.spec.Group
	if r.options.IsClusterMode && !strings.Contains(from, "{") {
		under = "{" + from + "}:" + r.spec.Group // on the same node
	}
	left, err := db.LRange(ctx, under, 0, -1).Result()
	if err != nil {
		return fmt.Errorf("reading list %s: %w", under, err)
	}
	out.Connected()
	w := source.NewWindow(ctx, window, out.Emit)
	err = r.elements(ctx, db, w, left, from, under)
	if closed := w.Close(); err == nil {
		err = closed
	}
	return err
}

func (r *reader) elements(ctx context.Context, db redis.UniversalClient, w *source.Window, left []string, from, under string) error {
	for ctx.Err() == nil {
		var element string
		if len(left) > 0 {
			element, left = left[0], left[1:]
		} else {
			var err error
			element, err = db.BLMove(ctx, from, under, "LEFT", "RIGHT", block).Result()
			if errors.Is(err, redis.Nil) {
				continue
			}
			if err != nil {
				return fmt.Errorf("reading list %s: %w", from, err)
			}
		}
		err := w.Add(r.id.Message(nil, "", "", []byte(element), time.Now()), func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = db.LRem(ctx, under, 1, element).Err() // it comes again when this fails
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) channel(ctx context.Context, db redis.UniversalClient, out source.Out) error {
	sub := db.Subscribe(ctx, r.spec.Channel)
	defer func() { _ = sub.Close() }()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // a read that waits does not look at ctx
	if _, err := sub.Receive(ctx); err != nil {
		return fmt.Errorf("subscribing to channel %s: %w", r.spec.Channel, err)
	}
	out.Connected()
	w := source.NewWindow(ctx, window, out.Emit)
	defer func() { _ = w.Close() }()
	for {
		m, err := sub.ReceiveMessage(ctx)
		if err != nil {
			return fmt.Errorf("reading channel %s: %w", r.spec.Channel, err)
		}
		if err := w.Add(r.id.Message(nil, "", "", []byte(m.Payload), time.Now()), func() {}); err != nil {
			return err
		}
	}
}
