//go:build keda

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	"github.com/openfunction/ofn/scalers/serve"
	v2 "k8s.io/api/autoscaling/v2"
)

// httpTimeout bounds each HTTP request that a scaler makes; it is KEDA's default.
const httpTimeout = 3 * time.Second

// constructor makes a scaler of one type.
type constructor func(context.Context, *scalersconfig.ScalerConfig) (scalers.Scaler, error)

// plain is a constructor that needs no context.
func plain(f func(*scalersconfig.ScalerConfig) (scalers.Scaler, error)) constructor {
	return func(_ context.Context, c *scalersconfig.ScalerConfig) (scalers.Scaler, error) { return f(c) }
}

// redis is one of the two kinds of Redis scaler in one of the three kinds of Redis.
func redis(f func(context.Context, bool, bool, *scalersconfig.ScalerConfig) (scalers.Scaler, error), cluster, sentinel bool) constructor {
	return func(ctx context.Context, c *scalersconfig.ScalerConfig) (scalers.Scaler, error) {
		return f(ctx, cluster, sentinel, c)
	}
}

// metricsAPI asks one URL. The mode that asks every endpoint of a Kubernetes Service needs a cluster.
func metricsAPI(_ context.Context, c *scalersconfig.ScalerConfig) (scalers.Scaler, error) {
	const aggregate = "aggregateFromKubeServiceEndpoints"
	if v := c.TriggerMetadata[aggregate]; v != "" && v != "false" {
		return nil, fmt.Errorf("%s needs a cluster; take it out", aggregate)
	}
	return scalers.NewMetricsAPIScaler(c, nil)
}

func externalPush(_ context.Context, c *scalersconfig.ScalerConfig) (scalers.Scaler, error) {
	return scalers.NewExternalPushScaler(c)
}

func predictKube(ctx context.Context, c *scalersconfig.ScalerConfig) (scalers.Scaler, error) {
	s, err := scalers.NewPredictKubeScaler(ctx, c)
	if err != nil {
		return nil, err // not s, which is a nil of another type
	}
	return s, nil
}

// constructors are all types of KEDA's that need no cluster. The platform itself measures cpu and memory.
func constructors() map[string]constructor {
	return map[string]constructor{
		"activemq":                plain(scalers.NewActiveMQScaler),
		"apache-kafka":            scalers.NewApacheKafkaScaler,
		"arangodb":                plain(scalers.NewArangoDBScaler),
		"artemis-queue":           plain(scalers.NewArtemisQueueScaler),
		"aws-cloudwatch":          scalers.NewAwsCloudwatchScaler,
		"aws-dynamodb":            scalers.NewAwsDynamoDBScaler,
		"aws-dynamodb-streams":    scalers.NewAwsDynamoDBStreamsScaler,
		"aws-kinesis-stream":      scalers.NewAwsKinesisStreamScaler,
		"aws-sqs-queue":           scalers.NewAwsSqsQueueScaler,
		"azure-app-insights":      plain(scalers.NewAzureAppInsightsScaler),
		"azure-blob":              plain(scalers.NewAzureBlobScaler),
		"azure-cosmosdb":          plain(scalers.NewAzureCosmosDBScaler),
		"azure-data-explorer":     plain(scalers.NewAzureDataExplorerScaler),
		"azure-eventhub":          plain(scalers.NewAzureEventHubScaler),
		"azure-log-analytics":     plain(scalers.NewAzureLogAnalyticsScaler),
		"azure-monitor":           plain(scalers.NewAzureMonitorScaler),
		"azure-pipelines":         scalers.NewAzurePipelinesScaler,
		"azure-queue":             plain(scalers.NewAzureQueueScaler),
		"azure-servicebus":        plain(scalers.NewAzureServiceBusScaler),
		"beanstalkd":              plain(scalers.NewBeanstalkdScaler),
		"cassandra":               plain(scalers.NewCassandraScaler),
		"clickhouse":              plain(scalers.NewClickHouseScaler),
		"couchdb":                 scalers.NewCouchDBScaler,
		"cron":                    plain(scalers.NewCronScaler),
		"datadog":                 plain(scalers.NewDatadogScaler),
		"dynatrace":               plain(scalers.NewDynatraceScaler),
		"elastic-forecast":        plain(scalers.NewElasticForecastScaler),
		"elasticsearch":           plain(scalers.NewElasticsearchScaler),
		"etcd":                    plain(scalers.NewEtcdScaler),
		"external":                plain(scalers.NewExternalScaler),
		"external-push":           externalPush,
		"forgejo-runner":          plain(scalers.NewForgejoRunnerScaler),
		"gcp-cloudtasks":          plain(scalers.NewGcpCloudTasksScaler),
		"gcp-pubsub":              plain(scalers.NewPubSubScaler),
		"gcp-spanner":             plain(scalers.NewGcpSpannerScaler),
		"gcp-stackdriver":         scalers.NewStackdriverScaler,
		"gcp-storage":             plain(scalers.NewGcsScaler),
		"github-runner":           plain(scalers.NewGitHubRunnerScaler),
		"graphite":                plain(scalers.NewGraphiteScaler),
		"huawei-cloudeye":         plain(scalers.NewHuaweiCloudeyeScaler),
		"ibmmq":                   plain(scalers.NewIBMMQScaler),
		"influxdb":                plain(scalers.NewInfluxDBScaler),
		"kafka":                   scalers.NewKafkaScaler,
		"liiklus":                 plain(scalers.NewLiiklusScaler),
		"loki":                    plain(scalers.NewLokiScaler),
		"metrics-api":             metricsAPI,
		"mongodb":                 scalers.NewMongoDBScaler,
		"mssql":                   scalers.NewMSSQLScaler,
		"mysql":                   plain(scalers.NewMySQLScaler),
		"nats-jetstream":          plain(scalers.NewNATSJetStreamScaler),
		"new-relic":               plain(scalers.NewNewRelicScaler),
		"nsq":                     plain(scalers.NewNSQScaler),
		"opensearch":              plain(scalers.NewOpensearchScaler),
		"openstack-metric":        scalers.NewOpenstackMetricScaler,
		"openstack-swift":         scalers.NewOpenstackSwiftScaler,
		"postgresql":              scalers.NewPostgreSQLScaler,
		"predictkube":             predictKube,
		"prometheus":              plain(scalers.NewPrometheusScaler),
		"pulsar":                  plain(scalers.NewPulsarScaler),
		"rabbitmq":                plain(scalers.NewRabbitMQScaler),
		"redis":                   redis(scalers.NewRedisScaler, false, false),
		"redis-cluster":           redis(scalers.NewRedisScaler, true, false),
		"redis-cluster-streams":   redis(scalers.NewRedisStreamsScaler, true, false),
		"redis-sentinel":          redis(scalers.NewRedisScaler, false, true),
		"redis-sentinel-streams":  redis(scalers.NewRedisStreamsScaler, false, true),
		"redis-streams":           redis(scalers.NewRedisStreamsScaler, false, false),
		"selenium-grid":           plain(scalers.NewSeleniumGridScaler),
		"solace-direct-messaging": plain(scalers.NewSolaceDMScaler),
		"solace-event-queue":      plain(scalers.NewSolaceScaler),
		"solarwinds":              plain(scalers.NewSolarWindsScaler),
		"solr":                    plain(scalers.NewSolrScaler),
		"splunk":                  plain(scalers.NewSplunkScaler),
		"splunk-observability":    plain(scalers.NewSplunkObservabilityScaler),
		"sumologic":               plain(scalers.NewSumologicScaler),
		"temporal":                scalers.NewTemporalScaler,
	}
}

// Types are the trigger types that are known, in order.
func Types() []string { return slices.Sorted(maps.Keys(constructors())) }

// build is a serve.Builder.
func build(ctx context.Context, t serve.Trigger) (serve.Scaler, error) {
	construct, ok := constructors()[t.Type]
	if !ok {
		return nil, fmt.Errorf("%w %q", serve.ErrUnknownType, t.Type)
	}
	s, err := construct(ctx, &scalersconfig.ScalerConfig{
		ScalableObjectName: t.Object, ScalableObjectNamespace: t.Namespace, ScalableObjectType: t.Kind,
		GlobalHTTPTimeout: httpTimeout, TriggerName: t.Name, TriggerType: t.Type, TriggerMetadata: t.Metadata,
		ResolvedEnv: t.Env, AuthParams: t.Auth, TriggerIndex: t.Index, MetricType: v2.MetricTargetType(t.MetricType), AsMetricSource: t.Composite,
		TriggerUniqueKey: fmt.Sprintf("%s-%s-%s-%d", t.Kind, t.Namespace, t.Object, t.Index),
	})
	if err != nil {
		return nil, err
	}
	if p, ok := s.(scalers.PushScaler); ok {
		return pushing{scaler{s}, p}, nil
	}
	return scaler{s}, nil
}

// scaler is one of KEDA's as serve wants it.
type scaler struct{ keda scalers.Scaler }

// Specs implements serve.Scaler.
func (s scaler) Specs(ctx context.Context) ([]serve.Spec, error) {
	var out []serve.Spec
	for _, m := range s.keda.GetMetricSpecForScaling(ctx) {
		if m.External == nil {
			continue
		}
		spec := serve.Spec{Name: m.External.Metric.Name}
		switch t := m.External.Target; {
		case t.AverageValue != nil:
			spec.Target = t.AverageValue.AsApproximateFloat64()
		case t.Value != nil:
			spec.Target = t.Value.AsApproximateFloat64()
		}
		out = append(out, spec)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the scaler names no metric: its source could not be asked, or its metadata is not complete")
	}
	return out, nil
}

// Read implements serve.Scaler.
func (s scaler) Read(ctx context.Context, metric string) (float64, bool, error) {
	values, active, err := s.keda.GetMetricsAndActivity(ctx, metric)
	sum := 0.0
	for i := range values {
		sum += values[i].Value.AsApproximateFloat64()
	}
	return sum, active, err
}

// Close implements serve.Scaler.
func (s scaler) Close(ctx context.Context) error { return s.keda.Close(ctx) }

// pushing is a scaler that tells by itself when it becomes active.
type pushing struct {
	scaler
	push scalers.PushScaler
}

// Push implements serve.Pusher.
func (p pushing) Push(ctx context.Context, active chan<- bool) { p.push.Run(ctx, active) }
