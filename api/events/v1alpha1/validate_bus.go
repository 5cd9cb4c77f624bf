package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate says why an EventBus cannot be accepted.
func (b *EventBus) Validate() (warnings []string, errs field.ErrorList) { return b.Spec.validate() }

// Validate says why a ClusterEventBus cannot be accepted.
func (b *ClusterEventBus) Validate() (warnings []string, errs field.ErrorList) {
	return b.Spec.validate()
}

func (s *EventBusSpec) validate() (warnings []string, errs field.ErrorList) {
	r, spec := &report{}, field.NewPath("spec")
	var given []string
	for name, there := range map[string]bool{"natsStreaming": s.NatsStreaming != nil, "jetStream": s.JetStream != nil, "kafka": s.Kafka != nil, "dapr": s.Dapr != nil} {
		if there {
			given = append(given, name)
		}
	}
	if len(given) > 1 {
		r.forbidden(spec, "give at most one of natsStreaming, jetStream, kafka and dapr")
	}
	if s.NatsStreaming != nil {
		r.warn(spec.Child("natsStreaming"), "NATS Streaming has reached its end of life and %s is not contacted: the events are kept by the bus inside the platform (NATS JetStream). "+
			"Remove natsStreaming, or give jetStream to use a server of your own", s.NatsStreaming.host())
	}
	if j := s.JetStream; j != nil {
		p := spec.Child("jetStream")
		for one := range strings.SplitSeq(j.URL, ",") {
			r.url(p.Child("url"), strings.TrimSpace(one), "nats", "tls", "ws", "wss")
		}
		if j.Stream != "" && strings.ContainsAny(j.Stream, ". \t*>/\\") {
			r.invalid(p.Child("stream"), j.Stream, "must not contain spaces and any of . * > / \\")
		}
	}
	if d := s.Dapr; d != nil {
		p := spec.Child("dapr")
		r.component(p, d.Component, d.Type, d.Metadata)
		if d.Type != "" && !strings.HasPrefix(d.Type, "pubsub.") {
			r.invalid(p.Child("type"), d.Type, "must be a publish/subscribe component (pubsub.X)")
		}
	}
	r.retention(spec.Child("retention"), s)
	return r.warnings, r.errs
}

func (r *report) retention(p *field.Path, s *EventBusSpec) {
	keep := s.Retention
	if keep == nil {
		return
	}
	r.positive(p.Child("maxAge"), keep.MaxAge)
	r.positive(p.Child("duplicates"), keep.Duplicates)
	if _, err := keep.Bytes(); err != nil {
		r.invalid(p.Child("maxBytes"), keep.MaxBytes, "must be a number of bytes, such as 512Mi")
	}
	if s.Kafka != nil || s.Dapr != nil {
		r.warn(p, "is not followed by a bus of kind %s, which keeps events by rules of its own", s.Kind())
	}
}

// Bytes is maxBytes; 0 when it is not given.
func (r *Retention) Bytes() (int64, error) {
	if r.MaxBytes == "" {
		return 0, nil
	}
	q, err := resource.ParseQuantity(r.MaxBytes)
	if err != nil {
		return 0, err
	}
	return q.Value(), nil
}

// host is the address without its login.
func (n *NatsStreamingSpec) host() string {
	if i := strings.LastIndexByte(n.NatsURL, '@'); i >= 0 {
		return n.NatsURL[i+1:]
	}
	return n.NatsURL
}
