package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WebhookSpec takes HTTP calls. They are answered when the event is safe.
type WebhookSpec struct {
	EventOptions `json:",inline"`
	// Path of the calls at the platform's gateway; "/events/<namespace>/<eventSource>/<event>" by default.
	// +optional
	Path string `json:"path,omitempty"`
	// Methods that are taken; POST by default.
	// +optional
	Methods []string `json:"methods,omitempty"`
	// Verify says whose signatures the calls carry: none (the default), github, gitlab, slack, stripe, standard (Standard
	// Webhooks), hmac, token (a bearer token or the value of a header). A call with a wrong one is refused with 401.
	// +optional
	// +kubebuilder:validation:Enum=none;github;gitlab;slack;stripe;standard;hmac;token
	Verify string `json:"verify,omitempty"`
	// Secret that signs; several, one a line, while it is changed. Better taken from a secret: secretRefs.secret.
	// +optional
	Secret string `json:"secret,omitempty"`
	// Header that carries the signature, for hmac (X-Signature by default) and token (Authorization).
	// +optional
	Header string `json:"header,omitempty"`
	// Algorithm of hmac: sha256 (the default), sha1 or sha512.
	// +optional
	// +kubebuilder:validation:Enum=sha1;sha256;sha512
	Algorithm string `json:"algorithm,omitempty"`
	// Encoding of hmac: hex (the default) or base64.
	// +optional
	// +kubebuilder:validation:Enum=hex;base64
	Encoding string `json:"encoding,omitempty"`
	// Prefix before the signature, such as "sha256=".
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// Tolerance of the time in a signature (slack, stripe, standard); 5m by default.
	// +optional
	Tolerance *metav1.Duration `json:"tolerance,omitempty"`
	// MaxBytes of a body; 1 MiB by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxBytes int64 `json:"maxBytes,omitempty"`
}

// CloudEventsSpec takes CloudEvents over HTTP in all their modes.
type CloudEventsSpec struct {
	EventOptions `json:",inline"`
	// Path of the calls at the platform's gateway; "/events/<namespace>/<eventSource>/<event>" by default.
	// +optional
	Path string `json:"path,omitempty"`
	// Token that callers send as "Authorization: Bearer".
	// +optional
	Token string `json:"token,omitempty"`
	// AllowedOrigins may register by the webhook handshake of CloudEvents; "*" is everybody.
	// +optional
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
	// MaxBytes of a body; 1 MiB by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxBytes int64 `json:"maxBytes,omitempty"`
}

// RabbitMQSpec takes the messages of a RabbitMQ queue.
type RabbitMQSpec struct {
	EventOptions `json:",inline"`
	// URL of the broker: amqp://[user:password@]host:5672/vhost.
	URL string `json:"url"`
	// Username of the login, over that of the URL.
	// +optional
	Username string `json:"username,omitempty"`
	// Password of the login.
	// +optional
	Password string `json:"password,omitempty"`
	// Queue that is read; declared when it is not there.
	Queue string `json:"queue"`
	// Exchange that the queue is bound to.
	// +optional
	Exchange string `json:"exchange,omitempty"`
	// ExchangeType is direct, fanout, topic or headers; topic by default.
	// +optional
	// +kubebuilder:validation:Enum=direct;fanout;topic;headers
	ExchangeType string `json:"exchangeType,omitempty"`
	// RoutingKey of the binding; "#" by default.
	// +optional
	RoutingKey string `json:"routingKey,omitempty"`
	// QueueType is classic (the default) or quorum.
	// +optional
	// +kubebuilder:validation:Enum=classic;quorum
	QueueType string `json:"queueType,omitempty"`
	// Durable queues outlive the broker; true by default.
	// +optional
	Durable *bool `json:"durable,omitempty"`
	// Prefetch is how many messages are under way; 32 by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Prefetch int32 `json:"prefetch,omitempty"`
	// CaCert is the PEM of the authority of the broker.
	// +optional
	CaCert string `json:"caCert,omitempty"`
	// ClientCert is the PEM of the client's certificate.
	// +optional
	ClientCert string `json:"clientCert,omitempty"`
	// ClientKey is the PEM of the client's key.
	// +optional
	ClientKey string `json:"clientKey,omitempty"`
	// ScaleOption of the handlers of a cluster.
	// +optional
	ScaleOption *ScaleOption `json:"scaleOption,omitempty"`
}

// NATSSpec takes the messages of a NATS subject or, with stream, of a JetStream stream.
type NATSSpec struct {
	EventOptions `json:",inline"`
	// URL of the server, several separated by commas: nats://host:4222.
	URL string `json:"url"`
	// Subject of the messages; with a stream its filter.
	// +optional
	Subject string `json:"subject,omitempty"`
	// Queue group of the subscription.
	// +optional
	Queue string `json:"queue,omitempty"`
	// Stream of JetStream. Without it what is sent while nobody listens is lost, as NATS does it.
	// +optional
	Stream string `json:"stream,omitempty"`
	// Durable consumer of the stream; "<namespace>-<eventSource>-<event>" by default.
	// +optional
	Durable string `json:"durable,omitempty"`
	// DeliverPolicy of a new consumer: new (the default) or all.
	// +optional
	// +kubebuilder:validation:Enum=new;all
	DeliverPolicy string `json:"deliverPolicy,omitempty"`
	// Username of the login.
	// +optional
	Username string `json:"username,omitempty"`
	// Password of the login.
	// +optional
	Password string `json:"password,omitempty"`
	// Token of the login.
	// +optional
	Token string `json:"token,omitempty"`
	// Credentials are the content of a .creds file.
	// +optional
	Credentials string `json:"credentials,omitempty"`
	// NKey is a seed.
	// +optional
	NKey string `json:"nkey,omitempty"`
	// CaCert is the PEM of the authority of the server.
	// +optional
	CaCert string `json:"caCert,omitempty"`
	// ClientCert is the PEM of the client's certificate.
	// +optional
	ClientCert string `json:"clientCert,omitempty"`
	// ClientKey is the PEM of the client's key.
	// +optional
	ClientKey string `json:"clientKey,omitempty"`
	// ScaleOption of the handlers of a cluster.
	// +optional
	ScaleOption *ScaleOption `json:"scaleOption,omitempty"`
}

// S3Spec takes the notifications of a bucket of S3 or MinIO.
type S3Spec struct {
	EventOptions `json:",inline"`
	// Endpoint of the server, such as http://minio:9000; that of AWS by default.
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// Region of the bucket; us-east-1 by default.
	// +optional
	Region string `json:"region,omitempty"`
	// Bucket that is watched.
	Bucket string `json:"bucket"`
	// Prefix of the objects' keys.
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// Suffix of the objects' keys.
	// +optional
	Suffix string `json:"suffix,omitempty"`
	// Events: s3:ObjectCreated:* and s3:ObjectRemoved:* by default.
	// +optional
	Events []string `json:"events,omitempty"`
	// AccessKey of the login.
	// +optional
	AccessKey string `json:"accessKey,omitempty"`
	// SecretKey of the login.
	// +optional
	SecretKey string `json:"secretKey,omitempty"`
	// PathStyle puts the bucket into the path of requests, as most servers but AWS want it.
	// +optional
	PathStyle *bool `json:"pathStyle,omitempty"`
	// PollInterval at which the bucket is listed, where the server cannot notify; 10s by default.
	// +optional
	PollInterval *metav1.Duration `json:"pollInterval,omitempty"`
}

// PostgreSQLSpec takes the changes of tables (logical replication) or the notifications of a channel.
type PostgreSQLSpec struct {
	EventOptions `json:",inline"`
	// URL of the database: postgres://user:password@host:5432/db.
	URL string `json:"url"`
	// Password of the login, over that of the URL.
	// +optional
	Password string `json:"password,omitempty"`
	// Tables whose changes are events, "schema.table"; all by default.
	// +optional
	Tables []string `json:"tables,omitempty"`
	// Operations: insert, update, delete; all by default.
	// +optional
	Operations []string `json:"operations,omitempty"`
	// Slot of logical replication that keeps the place; made of the names of the object by default.
	// +optional
	Slot string `json:"slot,omitempty"`
	// Publication of the tables; made when it is not there.
	// +optional
	Publication string `json:"publication,omitempty"`
	// Channel of LISTEN, instead of tables. What is sent while nobody listens is lost, as PostgreSQL does it.
	// +optional
	Channel string `json:"channel,omitempty"`
}

// FileSpec takes the changes of files of the machine.
type FileSpec struct {
	EventOptions `json:",inline"`
	// Path of a directory or file.
	Path string `json:"path"`
	// Pattern of the names, such as *.csv; all by default.
	// +optional
	Pattern string `json:"pattern,omitempty"`
	// Recursive watches directories below too.
	// +optional
	Recursive bool `json:"recursive,omitempty"`
	// Events: create, write, remove, rename; create and write by default.
	// +optional
	Events []string `json:"events,omitempty"`
	// Content puts the file's content, up to 1 MiB, into the event.
	// +optional
	Content bool `json:"content,omitempty"`
}

// KubernetesSpec takes the changes of objects of the API.
type KubernetesSpec struct {
	EventOptions `json:",inline"`
	// APIVersion of the objects.
	APIVersion string `json:"apiVersion"`
	// Kind of the objects.
	Kind string `json:"kind"`
	// Namespace of the objects; that of the EventSource by default, and only that unless it is in the namespace openfunction.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of one object.
	// +optional
	Name string `json:"name,omitempty"`
	// LabelSelector of the objects.
	// +optional
	LabelSelector string `json:"labelSelector,omitempty"`
	// FieldSelector of the objects.
	// +optional
	FieldSelector string `json:"fieldSelector,omitempty"`
	// Events: add, update, delete; all by default.
	// +optional
	Events []string `json:"events,omitempty"`
}

// DaprSpec takes the events of an input binding or publish/subscribe component: one of the namespace by name, or one
// described here.
type DaprSpec struct {
	EventOptions `json:",inline"`
	// Component names a Component of dapr.io in the namespace.
	// +optional
	Component string `json:"component,omitempty"`
	// Type of the component described here, such as bindings.kafka.
	// +optional
	Type string `json:"type,omitempty"`
	// Version of the type; v1 by default.
	// +optional
	Version string `json:"version,omitempty"`
	// Metadata configures it.
	// +optional
	Metadata []ComponentMetadata `json:"metadata,omitempty"`
	// Topic of a publish/subscribe component.
	// +optional
	Topic string `json:"topic,omitempty"`
	// ScaleOption of the handlers of a cluster.
	// +optional
	ScaleOption *ScaleOption `json:"scaleOption,omitempty"`
}
