// Package daprd says what a real Dapr runtime is to load, from the objects that the runtime in process has: the same components,
// with their secrets, and the same subscriptions.
package daprd

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

// object is one of Dapr's, as a manifest.
type object struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       any               `json:"spec"`
}

type componentSpec struct {
	Type         string    `json:"type"`
	Version      string    `json:"version"`
	IgnoreErrors bool      `json:"ignoreErrors,omitempty"`
	InitTimeout  string    `json:"initTimeout,omitempty"`
	Metadata     []setting `json:"metadata"`
}

type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type subscriptionSpec struct {
	Pubsubname      string            `json:"pubsubname"`
	Topic           string            `json:"topic"`
	Routes          routes            `json:"routes"`
	DeadLetterTopic string            `json:"deadLetterTopic,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	BulkSubscribe   *bulk             `json:"bulkSubscribe,omitempty"`
}

type routes struct {
	Rules   []rule `json:"rules,omitempty"`
	Default string `json:"default,omitempty"`
}

type rule struct {
	Match string `json:"match"`
	Path  string `json:"path"`
}

type bulk struct {
	Enabled            bool  `json:"enabled"`
	MaxMessagesCount   int   `json:"maxMessagesCount,omitempty"`
	MaxAwaitDurationMs int64 `json:"maxAwaitDurationMs,omitempty"`
}

// Files are the objects that the daprd of an app loads, each in JSON under the name of a file: the app's own components, those of
// its namespace that it sees, and its declarative subscriptions.
func Files(app event.App, components []event.Component) (map[string][]byte, error) {
	out := map[string][]byte{}
	add := func(file string, o object) error {
		data, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("writing %s %s: %w", o.Kind, o.Metadata["name"], err)
		}
		out[file+".yaml"] = data
		return nil
	}
	for i, c := range slices.Concat(app.Components, components) {
		if err := add(fmt.Sprintf("component-%03d", i), component(c)); err != nil {
			return nil, err
		}
	}
	for i, s := range app.Subscriptions {
		if err := add(fmt.Sprintf("subscription-%03d", i), subscription(s)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func component(c event.Component) object {
	spec := componentSpec{Type: c.Type, Version: c.Version, IgnoreErrors: c.IgnoreErrors, Metadata: []setting{}}
	if spec.Version == "" {
		spec.Version = "v1"
	}
	if c.InitTimeout > 0 {
		spec.InitTimeout = c.InitTimeout.String()
	}
	for _, name := range slices.Sorted(maps.Keys(c.Metadata)) {
		spec.Metadata = append(spec.Metadata, setting{name, c.Metadata[name]})
	}
	return object{"dapr.io/v1alpha1", "Component", map[string]string{"name": c.Name.Name}, spec}
}

func subscription(s event.Subscription) object {
	spec := subscriptionSpec{Pubsubname: s.Component, Topic: s.Topic, Routes: routes{Default: s.Default}, DeadLetterTopic: s.DeadLetterTopic, Metadata: s.Metadata}
	for _, r := range s.Routes {
		spec.Routes.Rules = append(spec.Routes.Rules, rule(r))
	}
	if s.Bulk {
		spec.BulkSubscribe = &bulk{true, s.BulkMessages, int64(s.BulkAwait / time.Millisecond)}
	}
	return object{"dapr.io/v2alpha1", "Subscription", map[string]string{"name": s.Name}, spec}
}

// What names a port of the machine's own loopback: a host with a port, as in URLs and lists of brokers, and the keys of a connection
// string of PostgreSQL.
var (
	hostPort = regexp.MustCompile(`(?:^|[^\w.-])(?:localhost|127\.0\.0\.1|\[::1\]):(\d{1,5})\b`)
	dsnHost  = regexp.MustCompile(`\bhost\s*=\s*(?:localhost|127\.0\.0\.1|::1)(?:\s|$)`)
	dsnPort  = regexp.MustCompile(`\bport\s*=\s*(\d{1,5})\b`)
)

// schemes are the ports of URLs that name none.
var schemes = map[string]int{"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "nats": 4222,
	"postgres": 5432, "postgresql": 5432, "mqtt": 1883, "tcp": 1883}

// Local are the ports of the machine's own loopback that components, and other texts, name.
func Local(components []event.Component, texts ...string) []int {
	for _, c := range components {
		texts = slices.AppendSeq(texts, maps.Values(c.Metadata))
	}
	found := map[int]bool{}
	for _, text := range texts {
		for _, m := range hostPort.FindAllStringSubmatch(text, -1) {
			found[number(m[1])] = true
		}
		if dsnHost.MatchString(text) {
			port := 5432
			if m := dsnPort.FindStringSubmatch(text); m != nil {
				port = number(m[1])
			}
			found[port] = true
		}
		if u, err := url.Parse(text); err == nil && u.Port() == "" && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1") {
			found[schemes[u.Scheme]] = true
		}
	}
	delete(found, 0)
	return slices.Sorted(maps.Keys(found))
}

// number is a port, 0 when it is none.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n > 65535 {
		return 0
	}
	return n
}
