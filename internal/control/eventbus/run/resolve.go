package run

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// home is the namespace in which a bus looks for secrets and components.
func home(b client.Object) string {
	if n := b.GetNamespace(); n != "" {
		return n
	}
	return events.SystemNamespace
}

// resolve completes a bus.
func (c *Controller) resolve(ctx context.Context, b object) (event.Bus, error) {
	spec, _ := b.Parts()
	out := event.Bus{Name: event.Name{Namespace: b.GetNamespace(), Name: b.GetName()}, Kind: spec.Kind()}
	if r := spec.Retention; r != nil {
		if r.MaxAge != nil {
			out.Retention.MaxAge = r.MaxAge.Duration
		}
		if r.Duplicates != nil {
			out.Retention.Duplicates = r.Duplicates.Duration
		}
		bytes, err := r.Bytes()
		if err != nil {
			return out, &refused{fmt.Errorf("retention.maxBytes: %w", err)}
		}
		out.Retention.MaxBytes = bytes
	}
	var err error
	switch {
	case spec.JetStream != nil:
		out.Options, err = c.jetStream(ctx, home(b), spec.JetStream)
	case spec.Kafka != nil:
		out.Component, err = c.kafka(ctx, b, spec.Kafka)
	case spec.Dapr != nil:
		d := spec.Dapr
		var component event.Component
		component, err = c.options.Resolver.Described(ctx, event.Name{Namespace: home(b), Name: "eventbus-" + b.GetName()}, d.Component, d.Type, d.Version, d.Metadata)
		out.Component = &component
	}
	return out, err
}

func (c *Controller) jetStream(ctx context.Context, namespace string, j *events.JetStreamSpec) (json.RawMessage, error) {
	o := event.JetStreamOptions{URL: j.URL, Stream: j.Stream, SubjectPrefix: j.SubjectPrefix, Replicas: int(j.Replicas)}
	login, err := c.secret(ctx, namespace, j.CredentialsSecret)
	if err != nil {
		return nil, err
	}
	o.Username, o.Password, o.Token = login["username"], login["password"], login["token"]
	o.Credentials, o.NKey = login["credentials"], login["nkey"]
	if j.CredentialsSecret != "" && o.Username == "" && o.Token == "" && o.Credentials == "" && o.NKey == "" {
		return nil, &secret.Missing{Message: fmt.Sprintf("secret %q has none of the keys username and password, token, credentials, nkey", j.CredentialsSecret)}
	}
	if t := j.TLS; t != nil {
		o.Insecure = t.InsecureSkipVerify
		if o.CA, o.Certificate, o.Key, err = c.certificates(ctx, namespace, t); err != nil {
			return nil, err
		}
	}
	return json.Marshal(o)
}

// kafka is the component that a bus of kind kafka is. Settings of the user win.
func (c *Controller) kafka(ctx context.Context, b object, k *events.KafkaBusSpec) (*event.Component, error) {
	m := map[string]string{"brokers": k.Brokers, "authType": "none"}
	login, err := c.secret(ctx, home(b), k.CredentialsSecret)
	if err != nil {
		return nil, err
	}
	if k.CredentialsSecret != "" {
		if login["username"] == "" || login["password"] == "" {
			return nil, &secret.Missing{Message: fmt.Sprintf("secret %q must have the keys username and password", k.CredentialsSecret)}
		}
		m["authType"], m["saslUsername"], m["saslPassword"], m["saslMechanism"] = "password", login["username"], login["password"], "PLAIN"
		if k.SaslMechanism != "" {
			m["saslMechanism"] = k.SaslMechanism
		}
	}
	m["disableTls"] = "true"
	if t := k.TLS; t != nil {
		m["disableTls"] = "false"
		ca, cert, key, err := c.certificates(ctx, home(b), t)
		if err != nil {
			return nil, err
		}
		if t.InsecureSkipVerify {
			m["skipVerify"] = "true"
		}
		if ca != "" {
			m["caCert"] = ca
		}
		if cert != "" && key != "" {
			m["clientCert"], m["clientKey"] = cert, key
			if k.CredentialsSecret == "" {
				m["authType"] = "mtls"
			}
		}
	}
	maps.Copy(m, k.Metadata)
	return &event.Component{Name: event.Name{Namespace: home(b), Name: "eventbus-" + b.GetName()}, Type: "pubsub.kafka", Version: "v1", Metadata: m}, nil
}

// certificates are those of a secret; each may be absent.
func (c *Controller) certificates(ctx context.Context, namespace string, t *events.TLSSpec) (ca, cert, key string, err error) {
	data, err := c.secret(ctx, namespace, t.SecretName)
	if err != nil {
		return "", "", "", err
	}
	cert, key = data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]
	if (cert == "") != (key == "") {
		return "", "", "", &secret.Missing{Message: fmt.Sprintf("secret %q has only one of the keys %s and %s", t.SecretName, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)}
	}
	return data["ca.crt"], cert, key, nil
}

// secret reads all keys of a secret; without a name there are none.
func (c *Controller) secret(ctx context.Context, namespace, name string) (map[string]string, error) {
	if name == "" {
		return nil, nil
	}
	data, err := secret.Data(ctx, c.client, namespace, "secret", name)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(data))
	for k, v := range data {
		out[k] = string(v)
	}
	return out, nil
}

func usesComponent(b object, changed client.Object) bool {
	spec, _ := b.Parts()
	return spec.Dapr != nil && spec.Dapr.Component == changed.GetName() && home(b) == changed.GetNamespace()
}

// usesSecret says yes to too many rather than too few: the secrets of a component that is named elsewhere count for every bus of kind dapr.
func usesSecret(b object, changed client.Object) bool {
	spec, _ := b.Parts()
	if home(b) != changed.GetNamespace() {
		return false
	}
	name := changed.GetName()
	switch {
	case spec.JetStream != nil:
		return spec.JetStream.CredentialsSecret == name || spec.JetStream.TLS != nil && spec.JetStream.TLS.SecretName == name
	case spec.Kafka != nil:
		return spec.Kafka.CredentialsSecret == name || spec.Kafka.TLS != nil && spec.Kafka.TLS.SecretName == name
	default:
		return spec.Dapr != nil
	}
}
