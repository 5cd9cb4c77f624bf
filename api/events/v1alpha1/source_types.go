package v1alpha1

// RedisSpec takes the entries of a Redis stream or list, or the messages of a channel: one of stream, list and channel.
// The fields before them are OpenFunction's, by the names of Dapr's bindings.redis.
type RedisSpec struct {
	EventOptions `json:",inline"`
	// RedisHost is host:port.
	RedisHost string `json:"redisHost"`
	// RedisPassword of the server; may be empty.
	// +optional
	RedisPassword string `json:"redisPassword,omitempty"`
	// RedisUsername of the server.
	// +optional
	RedisUsername string `json:"redisUsername,omitempty"`
	// EnableTLS encrypts the connection.
	// +optional
	EnableTLS *bool `json:"enableTLS,omitempty"`
	// Failover uses Redis Sentinel.
	// +optional
	Failover *bool `json:"failover,omitempty"`
	// SentinelMasterName of Redis Sentinel.
	// +optional
	SentinelMasterName *string `json:"sentinelMasterName,omitempty"`
	// RedeliverInterval after which entries that nobody acknowledged are taken over.
	// +optional
	RedeliverInterval *string `json:"redeliverInterval,omitempty"`
	// ProcessingTimeout of an entry.
	// +optional
	ProcessingTimeout *string `json:"processingTimeout,omitempty"`
	// RedisType is node or cluster.
	// +optional
	RedisType *string `json:"redisType,omitempty"`
	// RedisDB is the number of the database.
	// +optional
	RedisDB *int64 `json:"redisDB,omitempty"`
	// RedisMaxRetries of a command.
	// +optional
	RedisMaxRetries *int64 `json:"redisMaxRetries,omitempty"`
	// RedisMinRetryInterval of a command.
	// +optional
	RedisMinRetryInterval *string `json:"redisMinRetryInterval,omitempty"`
	// RedisMaxRetryInterval of a command.
	// +optional
	RedisMaxRetryInterval *string `json:"redisMaxRetryInterval,omitempty"`
	// DialTimeout of a connection.
	// +optional
	DialTimeout *string `json:"dialTimeout,omitempty"`
	// ReadTimeout of a connection.
	// +optional
	ReadTimeout *string `json:"readTimeout,omitempty"`
	// WriteTimeout of a connection.
	// +optional
	WriteTimeout *string `json:"writeTimeout,omitempty"`
	// PoolSize is the number of connections.
	// +optional
	PoolSize *int64 `json:"poolSize,omitempty"`
	// PoolTimeout bounds the wait for a connection.
	// +optional
	PoolTimeout *string `json:"poolTimeout,omitempty"`
	// MaxConnAge is how long a connection is used.
	// +optional
	MaxConnAge *string `json:"maxConnAge,omitempty"`
	// MinIdleConns is the number of connections that are kept open.
	// +optional
	MinIdleConns *int64 `json:"minIdleConns,omitempty"`
	// IdleCheckFrequency of connections.
	// +optional
	IdleCheckFrequency *string `json:"idleCheckFrequency,omitempty"`
	// IdleTimeout of connections.
	// +optional
	IdleTimeout *string `json:"idleTimeout,omitempty"`
	// Stream that is read as a group; the name of the event by default.
	// +optional
	Stream string `json:"stream,omitempty"`
	// Group of the stream; "<namespace>-<eventSource>-<event>" by default.
	// +optional
	Group string `json:"group,omitempty"`
	// List whose elements are taken.
	// +optional
	List string `json:"list,omitempty"`
	// Channel that is subscribed to. Redis keeps nothing of it for those who are away.
	// +optional
	Channel string `json:"channel,omitempty"`
	// ScaleOption of the handlers of a cluster.
	// +optional
	ScaleOption *ScaleOption `json:"scaleOption,omitempty"`
}

// KafkaSpec takes the messages of a Kafka topic.
type KafkaSpec struct {
	EventOptions `json:",inline"`
	// Brokers, host:port, several separated by commas.
	Brokers string `json:"brokers"`
	// AuthRequired says that saslUsername and saslPassword are used.
	// +optional
	AuthRequired bool `json:"authRequired,omitempty"`
	// Topic of the messages, several separated by commas; the name of the event by default.
	// +optional
	Topic string `json:"topic,omitempty"`
	// SaslUsername of the login.
	// +optional
	SaslUsername string `json:"saslUsername,omitempty"`
	// SaslPassword of the login.
	// +optional
	SaslPassword string `json:"saslPassword,omitempty"`
	// MaxMessageBytes of a message.
	// +optional
	MaxMessageBytes int64 `json:"maxMessageBytes,omitempty"`
	// SaslMechanism is PLAIN (the default), SHA-256 or SHA-512.
	// +optional
	// +kubebuilder:validation:Enum=PLAIN;SHA-256;SHA-512
	SaslMechanism string `json:"saslMechanism,omitempty"`
	// ConsumerGroup that keeps the place; "<namespace>-<eventSource>-<event>" by default.
	// +optional
	ConsumerGroup string `json:"consumerGroup,omitempty"`
	// InitialOffset of a new group: newest (the default) or oldest.
	// +optional
	// +kubebuilder:validation:Enum=newest;oldest
	InitialOffset string `json:"initialOffset,omitempty"`
	// TLS encrypts the connection.
	// +optional
	TLS bool `json:"tls,omitempty"`
	// CaCert is the PEM of the authority of the brokers.
	// +optional
	CaCert string `json:"caCert,omitempty"`
	// ClientCert is the PEM of the client's certificate.
	// +optional
	ClientCert string `json:"clientCert,omitempty"`
	// ClientKey is the PEM of the client's key.
	// +optional
	ClientKey string `json:"clientKey,omitempty"`
	// SkipVerify takes any certificate.
	// +optional
	SkipVerify bool `json:"skipVerify,omitempty"`
	// ScaleOption of the handlers of a cluster.
	// +optional
	ScaleOption *KafkaScaleOption `json:"scaleOption,omitempty"`
}

// KafkaScaleOption scales on the lag of a Kafka topic.
type KafkaScaleOption struct {
	ScaleOption `json:",inline"`
	// ConsumerGroup whose lag counts.
	// +optional
	ConsumerGroup string `json:"consumerGroup,omitempty"`
	// Topic whose lag counts.
	// +optional
	Topic string `json:"topic,omitempty"`
	// LagThreshold is the number of waiting messages that one copy accounts for.
	// +optional
	LagThreshold string `json:"lagThreshold,omitempty"`
}

// CronSpec makes an event at each time of a schedule.
type CronSpec struct {
	EventOptions `json:",inline"`
	// Schedule of five fields, of six (the first are seconds), or "@every 5s", "@daily"...
	Schedule string `json:"schedule"`
	// TimeZone of the schedule, such as Europe/Rome; UTC by default.
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
	// Data of the events; without them they have none.
	// +optional
	Data string `json:"data,omitempty"`
}

// MQTTSpec takes the messages of MQTT topics.
type MQTTSpec struct {
	EventOptions `json:",inline"`
	// URL of the broker: tcp://[user:password@]host:1883, ssl://host:8883.
	URL string `json:"url"`
	// Topic filter, with + and # as wildcards.
	Topic string `json:"topic"`
	// ConsumerID is the client's name; made of the names of the object by default.
	// +optional
	ConsumerID string `json:"consumerID,omitempty"`
	// Qos of the subscription: 0, 1 (the default) or 2.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	Qos *int64 `json:"qos,omitempty"`
	// Retain belongs to messages that are sent. It is accepted and has no meaning.
	// +optional
	Retain bool `json:"retain,omitempty"`
	// CleanSession forgets at the broker what came while nobody was connected.
	// +optional
	CleanSession bool `json:"cleanSession,omitempty"`
	// CaCert is the PEM of the authority of the broker.
	// +optional
	CaCert string `json:"caCert,omitempty"`
	// ClientCert is the PEM of the client's certificate.
	// +optional
	ClientCert string `json:"clientCert,omitempty"`
	// ClientKey is the PEM of the client's key.
	// +optional
	ClientKey string `json:"clientKey,omitempty"`
	// Username of the login.
	// +optional
	Username string `json:"username,omitempty"`
	// Password of the login.
	// +optional
	Password string `json:"password,omitempty"`
	// ScaleOption of the handlers of a cluster.
	// +optional
	ScaleOption *ScaleOption `json:"scaleOption,omitempty"`
}
