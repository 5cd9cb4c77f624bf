package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/source"
)

const (
	kedaAPI          = "keda.sh/v1alpha1"
	kindScaledObject = "ScaledObject"
)

// Queue is a consumer of a bus on NATS JetStream, as KEDA asks for it.
type Queue struct{ Stream, Consumer string }

// scale is how many copies a handler has.
type scale struct {
	replicas int  // without KEDA
	several  bool // copies may work side by side
	option   *events.ScaleOption
	triggers []kedaTrigger
	object   *object // of KEDA, where it is to scale
}

type kedaTrigger struct {
	Type              string            `json:"type"`
	Metadata          map[string]string `json:"metadata"`
	AuthenticationRef map[string]string `json:"authenticationRef,omitempty"`
}

// single is the scale of what only one copy may do.
func single() scale { return scale{replicas: 1} }

// sourceScale is that of a source. Only what a broker divides among consumers has several copies.
func sourceScale(object *events.EventSource, s event.Source) scale {
	for one := range object.Spec.Sources() {
		if one.Event != s.Event || one.Spec == nil {
			continue
		}
		option, triggers := queueOf(one.Spec, s)
		if len(triggers) == 0 {
			return single()
		}
		out := scale{replicas: 1, several: s.Kind != events.KindRedis, option: option} // what one copy has of Redis, all would have
		if option == nil {
			return out
		}
		if out.several {
			out.replicas = least(option)
		}
		out.triggers = wish(triggers, option)
		return out
	}
	return single()
}

// wish gives triggers what the user says of KEDA's. Where there are two, the second is for what was taken and not finished, and its
// list and threshold stay.
func wish(triggers []kedaTrigger, option *events.ScaleOption) []kedaTrigger {
	for i := range triggers {
		own := triggers[i].Metadata
		given := maps.Clone(option.Metadata)
		if i > 0 {
			maps.DeleteFunc(given, func(key, _ string) bool { return own[key] != "" || key == lagCount })
		}
		triggers[i].Metadata = merged(own, given)
		if a := option.AuthRef; a != nil {
			triggers[i].AuthenticationRef = map[string]string{"name": a.Name}
			if a.Kind != "" {
				triggers[i].AuthenticationRef["kind"] = a.Kind
			}
		}
	}
	return triggers
}

// least is the number of copies where nothing scales them.
func least(o *events.ScaleOption) int {
	if o.MinReplicaCount == nil {
		return 1
	}
	return max(1, int(*o.MinReplicaCount))
}

// queueOf is what KEDA asks of the broker of a source, and what the user wants of that; nil for kinds that cannot be divided.
func queueOf(spec any, s event.Source) (*events.ScaleOption, []kedaTrigger) {
	var resolved queue
	_ = json.Unmarshal(s.Spec, &resolved) // what is broken is told by the kind
	group := consumerOf(s)
	switch k := spec.(type) {
	case *events.KafkaSpec:
		t := kedaTrigger{Type: "kafka", Metadata: map[string]string{"bootstrapServers": resolved.Brokers,
			"topic": or(resolved.Topic, s.Event), "consumerGroup": or(resolved.ConsumerGroup, group)}}
		if k.ScaleOption == nil {
			return nil, []kedaTrigger{t}
		}
		set(t.Metadata, "lagThreshold", k.ScaleOption.LagThreshold)
		set(t.Metadata, "topic", k.ScaleOption.Topic)
		return &k.ScaleOption.ScaleOption, []kedaTrigger{t}
	case *events.RedisSpec:
		if k.Channel != "" {
			return nil, nil
		}
		resolved.Stream, resolved.Group = or(resolved.Stream, s.Event), or(resolved.Group, group)
		return k.ScaleOption, resolved.redis()
	case *events.RabbitMQSpec:
		return k.ScaleOption, []kedaTrigger{{Type: "rabbitmq", Metadata: map[string]string{"queueName": resolved.Queue, "mode": "QueueLength", "value": "100"}}}
	}
	return nil, nil
}

// queue is what the specs of sources say of the place that they read, with their secrets resolved.
type queue struct {
	Brokers, Topic, ConsumerGroup, RedisHost, Stream, List, Group, Queue string
	RedisDB                                                              int
	EnableTLS                                                            bool
}

// lagCount is KEDA's threshold for the entries of a stream that no member of the group has read.
const lagCount = "lagCount"

// redis is for what waits in Redis, and for what a copy had taken when it died, which only another copy finishes: of a list it is in
// another one (package source/redis names it), of a stream it is pending.
func (q queue) redis() []kedaTrigger {
	of := func(kind string, metadata map[string]string) kedaTrigger {
		metadata["address"] = q.RedisHost
		if q.RedisDB != 0 {
			metadata["databaseIndex"] = strconv.Itoa(q.RedisDB)
		}
		if q.EnableTLS {
			metadata["enableTLS"] = "true"
		}
		return kedaTrigger{Type: kind, Metadata: metadata}
	}
	if q.List != "" {
		return []kedaTrigger{of("redis", map[string]string{"listName": q.List}), of("redis", map[string]string{"listName": q.List + ":" + q.Group})}
	}
	return []kedaTrigger{of("redis-streams", map[string]string{"stream": q.Stream, "consumerGroup": q.Group, lagCount: "100"}),
		of("redis-streams", map[string]string{"stream": q.Stream, "consumerGroup": q.Group, "pendingEntriesCount": "100"})}
}

// consumerOf is the name under which a source reads, where its manifest gives none.
func consumerOf(s event.Source) string {
	return source.Identity{Namespace: s.Namespace, Name: s.Name.Name, Event: s.Event}.Consumer()
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func set(into map[string]string, key, value string) {
	if value != "" {
		into[key] = value
	}
}

// triggerScale is that of a trigger. Its events may be divided among copies when each can be handled by itself; how far is said by the
// bus (natsStreaming.scaleOption, OpenFunction's place for it).
func (e *Engine) triggerScale(ctx context.Context, t event.Trigger) (scale, error) {
	if !divisible(t) {
		return single(), nil
	}
	out := scale{replicas: 1, several: true}
	on, known := e.bus(t.Bus)
	if !known || !on.own || e.o.Queues == nil {
		return out, nil
	}
	wanted, err := e.wanted(ctx, t.Bus)
	if err != nil || wanted == nil {
		return out, err
	}
	out.option, out.replicas = &wanted.ScaleOption, least(&wanted.ScaleOption)
	if e.o.Storage.IsZero() { // a bus that starts anew has no consumers, and KEDA wakes nobody for one that is not there
		awake := wanted.ScaleOption
		awake.MinReplicaCount = new(int32(out.replicas))
		out.option = &awake
	}
	m := &maker{engine: e, ref: event.Ref{Kind: event.KindBus, Name: t.Bus}, namespace: or(t.Bus.Namespace, e.o.Namespace)}
	endpoint := fmt.Sprintf("%s.%s.svc.%s:%d", m.name(), m.namespace, e.o.ClusterDomain, PortMonitor)
	for _, q := range e.o.Queues(on.bus, t) {
		about := map[string]string{"natsServerMonitoringEndpoint": endpoint, "account": "$G", "stream": q.Stream, "consumer": q.Consumer}
		set(about, "lagThreshold", wanted.LagThreshold)
		out.triggers = append(out.triggers, kedaTrigger{Type: "nats-jetstream", Metadata: about})
	}
	return out, nil
}

// divisible says whether the events of a trigger may be handled by several copies: not where one event is looked at with another, in
// order, or at a rate.
func divisible(t event.Trigger) bool {
	if len(t.Inputs) > 1 {
		return false
	}
	for _, s := range t.Subscribers {
		if s.Correlate != nil || s.Ordered || s.RatePerSec > 0 {
			return false
		}
	}
	return true
}

// wanted is what the object of a bus says of scaling its triggers.
func (e *Engine) wanted(ctx context.Context, bus event.Name) (*events.NatsStreamingScaleOption, error) {
	var object interface {
		client.Object
		Parts() (*events.EventBusSpec, *events.EventBusStatus)
	} = &events.EventBus{}
	if bus.Namespace == "" {
		object = &events.ClusterEventBus{}
	}
	err := e.o.Manifests.Get(ctx, client.ObjectKey{Namespace: bus.Namespace, Name: bus.Name}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // it is the one that has no object
	}
	if err != nil {
		return nil, fmt.Errorf("reading event bus %s: %w", bus, err)
	}
	spec, _ := object.Parts()
	if spec.NatsStreaming == nil {
		return nil, nil //nolint:nilnil // it says nothing
	}
	return spec.NatsStreaming.ScaleOption, nil
}

// scaled makes the ScaledObject of a handler that KEDA is to scale, and takes it away otherwise.
func (e *Engine) scaled(ctx context.Context, m *maker, s scale) (*object, error) {
	there, err := e.keda(ctx)
	if err != nil || !there {
		return nil, err
	}
	if s.option == nil || len(s.triggers) == 0 {
		return nil, m.remove(ctx, kedaAPI, kindScaledObject)
	}
	if err := e.scalersWatched(); err != nil {
		return nil, err
	}
	spec := map[string]any{"scaleTargetRef": map[string]string{"apiVersion": "apps/v1", "kind": "Deployment", "name": m.name()}, "triggers": s.triggers}
	for name, n := range map[string]*int32{"pollingInterval": s.option.PollingInterval, "cooldownPeriod": s.option.CooldownPeriod,
		"minReplicaCount": s.option.MinReplicaCount, "maxReplicaCount": s.option.MaxReplicaCount} {
		if n != nil {
			spec[name] = *n
		}
	}
	if !s.several {
		spec["maxReplicaCount"] = 1
	}
	if a := s.option.Advanced; a != nil && !a.IsEmpty() {
		spec["advanced"] = a
	}
	o := m.object(kedaAPI, kindScaledObject, spec)
	_, err = m.ensure(ctx, o)
	return &o, err
}

// keda says whether KEDA is there.
func (e *Engine) keda(ctx context.Context) (bool, error) {
	if e.o.KEDA == nil {
		return false, nil
	}
	return e.o.KEDA(ctx)
}

// watchScalers says how the objects of KEDA are watched, once there are some.
func (e *Engine) watchScalers(watch func() error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scalers = watch
}

func (e *Engine) scalersWatched() error {
	e.mu.Lock()
	watch := e.scalers
	e.scalers = nil
	e.mu.Unlock()
	if watch == nil {
		return nil
	}
	if err := watch(); err != nil {
		e.watchScalers(watch)
		return err
	}
	return nil
}
