package components

import (
	"slices"
	"strings"

	"github.com/dapr/components-contrib/bindings/aws/s3"
	"github.com/dapr/components-contrib/bindings/cron"
	httpbinding "github.com/dapr/components-contrib/bindings/http"
	kafkabinding "github.com/dapr/components-contrib/bindings/kafka"
	"github.com/dapr/components-contrib/bindings/localstorage"
	mqttbinding "github.com/dapr/components-contrib/bindings/mqtt3"
	mysqlbinding "github.com/dapr/components-contrib/bindings/mysql"
	postgresbinding "github.com/dapr/components-contrib/bindings/postgres"
	rabbitmqbinding "github.com/dapr/components-contrib/bindings/rabbitmq"
	redisbinding "github.com/dapr/components-contrib/bindings/redis"
	"github.com/dapr/components-contrib/bindings/smtp"
	redisconfiguration "github.com/dapr/components-contrib/configuration/redis"
	"github.com/dapr/components-contrib/pubsub/kafka"
	"github.com/dapr/components-contrib/pubsub/rabbitmq"
	"github.com/dapr/components-contrib/secretstores/local/file"
	memorystate "github.com/dapr/components-contrib/state/in-memory"
	mysqlstate "github.com/dapr/components-contrib/state/mysql"
	postgresqlstate1 "github.com/dapr/components-contrib/state/postgresql/v1"
	postgresqlstate2 "github.com/dapr/components-contrib/state/postgresql/v2"
	redisstate "github.com/dapr/components-contrib/state/redis"
	"github.com/dapr/components-contrib/state/sqlite"
	"github.com/dapr/kit/logger"
)

// constructor makes a component that is not initialised: one or more of the interfaces of components-contrib.
type constructor func(f *Factory, log logger.Logger) any

func plain[T any](made func(logger.Logger) T) constructor {
	return func(_ *Factory, log logger.Logger) any { return made(log) }
}

// table is every type that is offered, by "type/version".
func table() map[string]constructor {
	return map[string]constructor{
		"pubsub.jetstream/v1": plain(newJetStream),
		"pubsub.kafka/v1":     plain(kafka.NewKafka),
		"pubsub.redis/v1":     plain(newRedisStreams),
		"pubsub.rabbitmq/v1":  plain(rabbitmq.NewRabbitMQ),
		"pubsub.mqtt3/v1":     plain(newMQTTTopics),
		"pubsub.in-memory/v1": plain(newMemory),

		"bindings.cron/v1":           plain(cron.NewCron),
		"bindings.http/v1":           plain(httpbinding.NewHTTP),
		"bindings.kafka/v1":          plain(kafkabinding.NewKafka),
		"bindings.redis/v1":          plain(redisbinding.NewRedis),
		"bindings.rabbitmq/v1":       plain(rabbitmqbinding.NewRabbitMQ),
		"bindings.mqtt3/v1":          plain(mqttbinding.NewMQTT),
		"bindings.nats-jetstream/v1": plain(newJetStreamBinding),
		"bindings.postgres/v1":       plain(postgresbinding.NewPostgres),
		"bindings.mysql/v1":          plain(mysqlbinding.NewMysql),
		"bindings.aws.s3/v1":         plain(s3.NewAWSS3),
		"bindings.localstorage/v1":   plain(localstorage.NewLocalStorage),
		"bindings.smtp/v1":           plain(smtp.NewSMTP),

		"state.redis/v1":      plain(redisstate.NewRedisStateStore),
		"state.postgresql/v1": plain(postgresqlstate1.NewPostgreSQLStateStore),
		"state.postgresql/v2": plain(postgresqlstate2.NewPostgreSQLStateStore),
		"state.sqlite/v1":     plain(sqlite.NewSQLiteStateStore),
		"state.mysql/v1":      plain(mysqlstate.NewMySQLStateStore),
		"state.in-memory/v1":  plain(memorystate.NewInMemoryStateStore),

		"secretstores.local.file/v1": plain(file.NewLocalSecretStore),
		"secretstores.local.env/v1":  newEnvironment,
		"secretstores.kubernetes/v1": newPlatformSecrets,

		"configuration.redis/v1":    plain(redisconfiguration.NewRedisConfigurationStore),
		"configuration.postgres/v1": plain(newPostgresConfiguration),
	}
}

// aliases are other names of the same type: older ones of Dapr, and those of KEDA.
var aliases = map[string]string{
	"pubsub.mqtt":              "pubsub.mqtt3",
	"bindings.mqtt":            "bindings.mqtt3",
	"bindings.postgresql":      "bindings.postgres",
	"bindings.jetstream":       "bindings.nats-jetstream",
	"state.postgres":           "state.postgresql",
	"configuration.postgresql": "configuration.postgres",
}

// gone are types that Dapr had, with what to do.
var gone = map[string]string{
	"pubsub.natsstreaming": "NATS Streaming has ended in 2023: use pubsub.jetstream with natsURL, or the platform's own event bus",
	"pubsub.hazelcast":     "Dapr took it away: use pubsub.redis or pubsub.jetstream",
}

// Canonical is the name of a type that all its aliases stand for.
func Canonical(typ string) string {
	if c, ok := aliases[typ]; ok {
		return c
	}
	return typ
}

// category is "pubsub" of "pubsub.kafka".
func category(typ string) string {
	c, _, _ := strings.Cut(typ, ".")
	return c
}

// Types are the types that are offered of a category, sorted: "pubsub.kafka"; of all categories when it is empty.
func Types(of string) []string {
	var all []string
	for k := range table() {
		typ, _, _ := strings.Cut(k, "/")
		if (of == "" || category(typ) == of) && !slices.Contains(all, typ) {
			all = append(all, typ)
		}
	}
	slices.Sort(all)
	return all
}
