package components

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dapr/components-contrib/pubsub"

	"github.com/openfunction/ofn/internal/event"
)

func quiet() *Factory { return &Factory{Log: slog.New(slog.DiscardHandler)} }

func spec(typ string, metadata ...string) event.Component {
	c := event.Component{Name: event.Name{Namespace: "ns", Name: "c"}, Type: typ, Metadata: map[string]string{}}
	for i := 0; i < len(metadata); i += 2 {
		c.Metadata[metadata[i]] = metadata[i+1]
	}
	return c
}

// Every type of the table must be exactly one kind of component, and closable: Open relies on both.
func TestTable(t *testing.T) {
	for typ, made := range table() {
		o, _, err := quiet().construct(spec(strings.Split(typ, "/")[0]), made)
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		kinds := map[string]bool{
			"pubsub": o.PubSub != nil, "bindings": o.Input != nil || o.Output != nil, "state": o.State != nil,
			"secretstores": o.Secrets != nil, "configuration": o.Configuration != nil,
		}
		for kind, is := range kinds {
			if is != (category(typ) == kind) {
				t.Errorf("%s is a %s: %v", typ, kind, is)
			}
		}
	}
	for alias, typ := range aliases {
		if _, err := find(spec(alias)); err != nil {
			t.Errorf("alias %s of %s: %v", alias, typ, err)
		}
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name, typ, version string
		metadata           []string
		ignored            string
		reason, message    string
	}{
		{"known", "pubsub.kafka", "", []string{"brokers", "x", "AUTHTYPE", "none", "consumerID", "me"}, "", "", ""},
		{"harmless", "pubsub.kafka", "v1", []string{"brokers", "x", "somethingElse", "1"}, "somethingElse", "", ""},
		{"misspelt", "pubsub.kafka", "", []string{"borkers", "x"}, "", "UnknownMetadata", `did you mean "brokers"?`},
		{"type", "state.rediss", "", nil, "", "UnknownType", `did you mean "state.redis"?`},
		{"category", "queue.kafka", "", nil, "", "UnknownType", "must begin with pubsub."},
		{"empty", "", "", nil, "", "UnknownType", "must begin with"},
		{"version", "state.postgresql", "v3", nil, "", "UnknownVersion", "set spec.version to v1 or v2"},
		{"gone", "pubsub.natsstreaming", "", nil, "", "UnknownType", "pubsub.jetstream"},
		{"binding's own keys", "bindings.cron", "", []string{"schedule", "@every 1s", "direction", "input", "route", "/x"}, "", "", ""},
		{"keys that it does not tell", "bindings.kafka", "", []string{"brokers", "x", "authType", "none", "topics", "t", "publishTopic", "t"}, "", "", ""},
		{"prefix", "state.redis", "", []string{"redisHost", "x", "keyPrefix", "none"}, "", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := spec(test.typ, test.metadata...)
			c.Version = test.version
			ignored, err := quiet().Check(c)
			if strings.Join(ignored, " ") != test.ignored {
				t.Errorf("ignored %v", ignored)
			}
			var invalid *Invalid
			switch {
			case test.reason == "":
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, &invalid) || invalid.Reason != test.reason || !strings.Contains(invalid.Message, test.message):
				t.Errorf("%v", err)
			case !strings.Contains(err.Error(), "component ns/c"):
				t.Errorf("the error names no component: %v", err)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	names := []string{"brokers", "redisHost", "ttl", "consumerID"}
	for word, want := range map[string]string{
		"borkers": "brokers", "Brokers": "brokers", "redishosts": "redisHost", "redisPort": "", "tt": "", "consumerId": "consumerID",
		"consummerIDs": "consumerID", "": "", "brokersssss": "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	tests := []struct {
		typ      string
		metadata []string
		key      string
		want     string
	}{
		{"pubsub.rabbitmq", nil, "requeueInFailure", "true"},
		{"pubsub.rabbitmq", []string{"RequeueInFailure", "false"}, "requeueInFailure", ""},
		{"pubsub.redis", nil, "consumerID", "fn-ns"},
		{"pubsub.redis", []string{"consumerID", "mine"}, "consumerID", "mine"},
		{"bindings.mqtt", nil, "consumerID", "fn-ns"},
		{"bindings.kafka", nil, "consumeRetryEnabled", "true"},
		{"pubsub.jetstream", nil, "durableName", "fn-ns"},
		{"pubsub.jetstream", []string{"queueGroupName", "q"}, "durableName", ""},
		{"state.redis", nil, "consumerID", ""},
	}
	for _, test := range tests {
		c := spec(test.typ, test.metadata...)
		before := len(c.Metadata)
		if got := defaults(c, "fn-ns")[test.key]; got != test.want {
			t.Errorf("%s %v: %s is %q, want %q", test.typ, test.metadata, test.key, got, test.want)
		}
		if len(c.Metadata) != before {
			t.Error("the specification itself was changed")
		}
	}
}

func TestPathsStayInTheirNamespace(t *testing.T) {
	for path, want := range map[string]string{
		"data.db": "/ns/data.db", "/etc/passwd": "/ns/etc/passwd", "../../../etc/passwd": "/ns/etc/passwd",
		"file:../x.db?mode=ro": "/ns/x.db?mode=ro", "file:///x.db": "/ns/x.db",
		"/etc/x.db?a=:memory:": "/ns/etc/x.db?a=:memory:", "file::memory:/../../x": "/ns/x", ":memory:.db": "/ns/:memory:.db",
	} {
		f := quiet()
		f.Files = t.TempDir()
		c := spec("state.sqlite", "connectionString", path)
		if err := f.rebase(&c); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimPrefix(c.Metadata["connectionString"], "file:"); got != f.Files+want {
			t.Errorf("%s became %s, want %s", path, got, f.Files+want)
		}
	}
	var invalid *Invalid
	for _, c := range []event.Component{
		spec("state.sqlite", "connectionString", "file:/%2e%2e/%2e%2e/x.db"), spec("bindings.aws.s3", "FilePath", "/etc/shadow"),
		spec("bindings.mysql", "url", "u:p@tcp(h)/db?allowAllFiles=true"), spec("state.mysql", "connectionString", "u:p@tcp(h)/db?a=b&allowAllFiles=1"),
	} {
		f := quiet()
		f.Files = t.TempDir()
		if err := f.rebase(&c); !errors.As(err, &invalid) {
			t.Errorf("%s %v: %v", c.Type, c.Metadata, err)
		}
	}
	c := spec("secretstores.local.file", "secretsFile", "/etc/shadow")
	if _, err := quiet().Open(t.Context(), c, ""); !errors.As(err, &invalid) || invalid.Reason != "NotOffered" {
		t.Errorf("without a directory for files: %v", err)
	}
}

func TestOpenGivesUpInTime(t *testing.T) {
	c := spec("pubsub.redis", "redisHost", "192.0.2.1:6379", "dialTimeout", "1h")
	c.InitTimeout = 20 * time.Millisecond
	if _, err := quiet().Open(t.Context(), c, "me"); err == nil {
		t.Error("it is open")
	}
}

func TestMemoryGivesAgainWhatFailed(t *testing.T) {
	f := quiet()
	bus, err := f.OpenPubSub(t.Context(), spec("pubsub.in-memory"), "me")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	done := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := bus.Subscribe(ctx, "a*", nil, func(_ context.Context, data []byte, _ map[string]string) error {
		if n.Add(1) < 3 {
			return io.ErrUnexpectedEOF
		}
		done <- string(data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(ctx, "elsewhere", []byte("no"), nil); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(ctx, "abc", []byte("yes"), nil); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-done:
		if got != "yes" || n.Load() != 3 {
			t.Errorf("%s after %d", got, n.Load())
		}
	case <-time.After(time.Minute):
		t.Fatal("it did not come again")
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
	if err := bus.Publish(t.Context(), "abc", nil, nil); err == nil {
		t.Error("a closed bus takes messages")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	bus := newMemory(nil).(*memory)
	hold := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	if err := bus.Subscribe(ctx, pubsub.SubscribeRequest{Topic: "t"}, func(context.Context, *pubsub.NewMessage) error {
		<-hold
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	short, done := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer done()
	sent := 0
	for bus.Publish(short, &pubsub.PublishRequest{Topic: "t"}) == nil {
		sent++
		if sent > 2*(memoryQueue+memoryWorkers) {
			t.Fatal("the queue has no bound")
		}
	}
	close(hold)
	cancel()
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}
