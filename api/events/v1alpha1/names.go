package v1alpha1

import (
	"iter"
	"maps"
	"slices"
)

// The kinds of sources: the names of the maps of an EventSourceSpec.
const (
	KindRedis       = "redis"
	KindKafka       = "kafka"
	KindCron        = "cron"
	KindMQTT        = "mqtt"
	KindWebhook     = "webhook"
	KindCloudEvents = "cloudevents"
	KindRabbitMQ    = "rabbitmq"
	KindNATS        = "nats"
	KindS3          = "s3"
	KindPostgreSQL  = "postgresql"
	KindFile        = "file"
	KindKubernetes  = "kubernetes"
	KindDapr        = "dapr"
)

// Kinds of buses, in EventBusStatus.Kind.
const (
	BusEmbedded  = "embedded"
	BusJetStream = "jetStream"
	BusKafka     = "kafka"
	BusDapr      = "dapr"
)

// SystemNamespace is where what belongs to the whole cluster looks for its secrets and components.
const SystemNamespace = "openfunction"

// Topic is the topic of a bus that the events of an EventSource are on.
func Topic(namespace, eventSource, event string) string {
	return namespace + "-" + eventSource + "-" + event
}

// Source is one event of an EventSource.
//
// +kubebuilder:object:generate=false
type Source struct {
	// Kind is one of the Kind constants.
	Kind string
	// Event is its name.
	Event string
	// Spec is a pointer to the type of its kind, such as *KafkaSpec; nil when the manifest gives null.
	Spec any
	// Options are those of the spec; nil when that is.
	Options *EventOptions
}

// Sources yields the events of all kinds, ordered by kind as the spec has them, then by name.
func (s *EventSourceSpec) Sources() iter.Seq[Source] {
	return func(yield func(Source) bool) {
		_ = each(KindRedis, s.Redis, func(x *RedisSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindKafka, s.Kafka, func(x *KafkaSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindCron, s.Cron, func(x *CronSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindMQTT, s.MQTT, func(x *MQTTSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindWebhook, s.Webhook, func(x *WebhookSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindCloudEvents, s.CloudEvents, func(x *CloudEventsSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindRabbitMQ, s.RabbitMQ, func(x *RabbitMQSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindNATS, s.NATS, func(x *NATSSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindS3, s.S3, func(x *S3Spec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindPostgreSQL, s.PostgreSQL, func(x *PostgreSQLSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindFile, s.File, func(x *FileSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindKubernetes, s.Kubernetes, func(x *KubernetesSpec) *EventOptions { return &x.EventOptions }, yield) &&
			each(KindDapr, s.Dapr, func(x *DaprSpec) *EventOptions { return &x.EventOptions }, yield)
	}
}

func each[T any](kind string, of map[string]*T, options func(*T) *EventOptions, yield func(Source) bool) bool {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		s := Source{Kind: kind, Event: name}
		if x := of[name]; x != nil {
			s.Spec, s.Options = x, options(x)
		}
		if !yield(s) {
			return false
		}
	}
	return true
}

// Kind is the kind of a bus.
func (s *EventBusSpec) Kind() string {
	switch {
	case s.JetStream != nil:
		return BusJetStream
	case s.Kafka != nil:
		return BusKafka
	case s.Dapr != nil:
		return BusDapr
	default:
		return BusEmbedded
	}
}

// Parts are what EventBus and ClusterEventBus have in common.
func (b *EventBus) Parts() (*EventBusSpec, *EventBusStatus) { return &b.Spec, &b.Status }

// Parts are what EventBus and ClusterEventBus have in common.
func (b *ClusterEventBus) Parts() (*EventBusSpec, *EventBusStatus) { return &b.Spec, &b.Status }
