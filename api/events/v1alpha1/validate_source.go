package v1alpha1

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate says why an EventSource cannot be accepted. The time of a schedule is checked by admission.
func (s *EventSource) Validate() (warnings []string, errs field.ErrorList) {
	r, spec := &report{}, field.NewPath("spec")
	if s.Spec.EventBus == "" && s.Spec.Sink == nil {
		r.required(spec, "give at least one of eventBus and sink: the events would go nowhere")
	}
	r.sink(spec.Child("sink"), s.Spec.Sink)
	r.sink(spec.Child("deadLetterSink"), s.Spec.DeadLetterSink)
	r.retry(spec.Child("retry"), s.Spec.Retry)
	if s.Spec.Build != nil {
		r.warn(spec.Child("build"), "has no meaning and never had one")
	}
	kinds := map[string]string{}
	for source := range s.Spec.Sources() {
		p := spec.Child(source.Kind).Key(source.Event)
		r.name(p, source.Event)
		if other, ok := kinds[source.Event]; ok {
			r.forbidden(p, fmt.Sprintf("an event of this name is in %s too, and both would be the topic %s: rename one", other, Topic(s.Namespace, s.Name, source.Event)))
		}
		kinds[source.Event] = source.Kind
		if source.Spec == nil {
			r.required(p, "say what the events are")
			continue
		}
		r.secretRefs(p.Child("secretRefs"), source)
		r.source(p, s.Namespace, source)
	}
	if len(kinds) == 0 {
		r.warn(spec, "there is no event in it")
	}
	return r.warnings, r.errs
}

// source checks what the schema of a kind cannot.
func (r *report) source(p *field.Path, namespace string, source Source) {
	switch x := source.Spec.(type) {
	case *RedisSpec:
		r.need(p.Child("redisHost"), source, "redisHost", x.RedisHost)
		r.atMostOne(p, "stream", x.Stream, "list", x.List, "channel", x.Channel)
		r.idle(p, "redeliverInterval", x.RedeliverInterval != nil, "the source takes what was not acknowledged first, at once")
		r.idle(p, "processingTimeout", x.ProcessingTimeout != nil, "an entry stays until it was handled")
		r.idle(p, "idleCheckFrequency", x.IdleCheckFrequency != nil, "idle connections are closed by idleTimeout alone")
	case *KafkaSpec:
		r.need(p.Child("brokers"), source, "brokers", x.Brokers)
		if x.AuthRequired {
			r.need(p.Child("saslUsername"), source, "saslUsername", x.SaslUsername)
		}
	case *MQTTSpec:
		r.need(p.Child("url"), source, "url", x.URL)
		r.need(p.Child("topic"), source, "topic", x.Topic)
		r.idle(p, "retain", x.Retain, "it belongs to messages that are sent")
	case *WebhookSpec:
		r.webhook(p, source, x)
	case *CloudEventsSpec:
		r.path(p.Child("path"), x.Path)
	case *RabbitMQSpec:
		r.need(p.Child("url"), source, "url", x.URL)
		r.need(p.Child("queue"), source, "queue", x.Queue)
	case *NATSSpec:
		r.need(p.Child("url"), source, "url", x.URL)
		if x.Subject == "" && x.Stream == "" {
			r.required(p, "give a subject, or a stream of JetStream")
		}
	case *S3Spec:
		r.need(p.Child("bucket"), source, "bucket", x.Bucket)
		r.positive(p.Child("pollInterval"), x.PollInterval)
		if x.Endpoint != "" {
			r.url(p.Child("endpoint"), x.Endpoint, "http", "https")
		}
	case *PostgreSQLSpec:
		r.need(p.Child("url"), source, "url", x.URL)
		if x.Channel != "" && (len(x.Tables) > 0 || x.Slot != "" || x.Publication != "") {
			r.forbidden(p.Child("channel"), "cannot be given together with tables, slot and publication: it is LISTEN, they are replication")
		}
		r.oneOf(p.Child("operations"), x.Operations, "insert", "update", "delete")
	case *FileSpec:
		r.need(p.Child("path"), source, "path", x.Path)
		r.oneOf(p.Child("events"), x.Events, "create", "write", "remove", "rename")
	case *KubernetesSpec:
		if x.Namespace != "" && x.Namespace != namespace && namespace != SystemNamespace {
			r.forbidden(p.Child("namespace"), fmt.Sprintf("an EventSource sees objects of its own namespace; one in the namespace %s sees all", SystemNamespace))
		}
		if x.Kind == "Secret" && namespace != SystemNamespace {
			r.forbidden(p.Child("kind"), fmt.Sprintf("secrets are shown to an EventSource in the namespace %s only", SystemNamespace))
		}
		r.oneOf(p.Child("events"), x.Events, "add", "update", "delete")
	case *DaprSpec:
		r.daprSource(p, x)
	}
}

func (r *report) webhook(p *field.Path, source Source, x *WebhookSpec) {
	r.path(p.Child("path"), x.Path)
	r.positive(p.Child("tolerance"), x.Tolerance)
	if x.Verify != "" && x.Verify != "none" {
		r.need(p.Child("secret"), source, "secret", x.Secret)
	} else if _, referred := source.Options.SecretRefs["secret"]; referred || x.Secret != "" {
		r.required(p.Child("verify"), "say whose signatures the secret is for: github, gitlab, slack, stripe, standard, hmac or token")
	}
	r.oneOf(p.Child("methods"), x.Methods, "GET", "POST", "PUT", "PATCH", "DELETE")
}

func (r *report) daprSource(p *field.Path, x *DaprSpec) {
	r.component(p, x.Component, x.Type, x.Metadata)
	if x.Type != "" && !strings.HasPrefix(x.Type, "bindings.") && !strings.HasPrefix(x.Type, "pubsub.") {
		r.invalid(p.Child("type"), x.Type, "must be an input binding (bindings.X) or a publish/subscribe component (pubsub.X)")
	}
	if strings.HasPrefix(x.Type, "pubsub.") && x.Topic == "" {
		r.required(p.Child("topic"), "name the topic of the publish/subscribe component")
	}
}

// component checks a component that is named or described.
func (r *report) component(p *field.Path, name, kind string, metadata []ComponentMetadata) {
	switch {
	case name == "" && kind == "":
		r.required(p, "give one of component and type")
	case name != "" && (kind != "" || len(metadata) > 0):
		r.forbidden(p.Child("component"), "cannot be given together with type and metadata")
	}
	seen := map[string]bool{}
	for i, m := range metadata {
		if seen[m.Name] {
			r.warn(p.Child("metadata").Index(i).Child("name"), "%q is given more than once; the last one holds", m.Name)
		}
		seen[m.Name] = true
	}
}

func (r *report) path(p *field.Path, path string) {
	if path != "" && !strings.HasPrefix(path, "/") {
		r.invalid(p, path, "must begin with /")
	}
}

// need requires a field, or a reference that fills it.
func (r *report) need(p *field.Path, source Source, name, value string) {
	if _, referred := source.Options.SecretRefs[name]; value == "" && !referred {
		r.required(p, "give it, or take it from a secret with secretRefs."+name)
	}
}

// idle warns of a field that was accepted by OpenFunction and has nothing to do here.
func (r *report) idle(p *field.Path, name string, given bool, why string) {
	if given {
		r.warn(p.Child(name), "has no effect: %s", why)
	}
}

func (r *report) atMostOne(p *field.Path, namesAndValues ...string) {
	var given []string
	for i := 0; i < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] != "" {
			given = append(given, namesAndValues[i])
		}
	}
	if len(given) > 1 {
		r.forbidden(p.Child(given[1]), "cannot be given together with "+given[0])
	}
}

func (r *report) oneOf(p *field.Path, values []string, valid ...string) {
	for i, v := range values {
		if !slices.Contains(valid, v) {
			r.errs = append(r.errs, field.NotSupported(p.Index(i), v, valid))
		}
	}
}

func (r *report) secretRefs(p *field.Path, source Source) {
	for _, name := range slices.Sorted(maps.Keys(source.Options.SecretRefs)) {
		ref := source.Options.SecretRefs[name]
		if known := texts(source.Spec); !slices.Contains(known, name) {
			r.errs = append(r.errs, field.NotSupported(p, name, known))
		}
		if ref.Name == "" || ref.Key == "" {
			r.required(p.Key(name), "name the secret and the key")
		}
	}
}

// texts are the JSON names of the fields of a kind that hold text.
func texts(spec any) []string {
	var out []string
	t := reflect.TypeOf(spec).Elem()
	for i := range t.NumField() {
		f := t.Field(i)
		kind := f.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && kind.Kind() == reflect.String {
			out = append(out, name)
		}
	}
	return out
}
