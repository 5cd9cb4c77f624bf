package lag_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/openfunction/ofn/internal/lag"
	"github.com/openfunction/ofn/internal/lag/externalscaler"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// program stands for the helper and is served in this process.
type program struct {
	externalscaler.UnimplementedExternalScalerServer
	client externalscaler.ExternalScalerClient

	mu     sync.Mutex
	value  float64
	fails  []error // of the next questions for a metric
	asked  map[string]string
	specs  int
	users  int
	absent error
}

func newProgram(t *testing.T) *program {
	t.Helper()
	p := &program{}
	l, s := bufconn.Listen(1<<16), grpc.NewServer()
	externalscaler.RegisterExternalScalerServer(s, p)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	p.client = externalscaler.NewExternalScalerClient(conn)
	return p
}

func (p *program) Use() func() {
	p.users++
	return func() { p.users-- }
}

func (p *program) Client() (externalscaler.ExternalScalerClient, error) { return p.client, p.absent }

func (p *program) GetMetricSpec(_ context.Context, r *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.specs++
	return &externalscaler.GetMetricSpecResponse{MetricSpecs: []*externalscaler.MetricSpec{{MetricName: "s0-a", TargetSizeFloat: 2.5}}}, nil
}

func (p *program) GetMetrics(ctx context.Context, q *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = maps.Clone(q.GetScaledObjectRef().GetScalerMetadata())
	if len(p.fails) > 0 {
		err := p.fails[0]
		p.fails = p.fails[1:]
		return nil, err
	}
	active := "false"
	if p.value > 0 {
		active = "true"
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs("ofn-active", active)); err != nil {
		return nil, err
	}
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{{MetricName: q.GetMetricName(), MetricValueFloat: p.value}}}, nil
}

func watch(kind string, pairs ...string) run.Watch {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return run.Watch{Key: run.Key{Namespace: "ns", Name: "fn"}, Trigger: run.Trigger{Type: kind, Metadata: m}}
}

func open(t *testing.T, o lag.Options, w run.Watch) func(context.Context) scale.Reading {
	t.Helper()
	poll, stop, err := lag.New(o).Open(w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return poll
}

func TestRemote(t *testing.T) {
	p := newProgram(t)
	p.value = 7.5
	w := watch("kafka", "topic", "orders")
	w.Auth, w.Env, w.Trigger.Name, w.Job, w.Index = map[string]string{"password": "x"}, map[string]string{"HOST": "h"}, "orders", true, 3
	poll, stop, err := lag.New(lag.Options{Helper: p}).Open(w)
	if err != nil {
		t.Fatal(err)
	}
	got := poll(t.Context())
	if got.Err != nil || got.Trigger != "orders" || !got.Active || len(got.Values) != 1 || got.Values[0] != (scale.Value{Sum: 7.5, Target: 2.5, PerCopy: true}) {
		t.Errorf("got %+v", got)
	}
	for k, v := range map[string]string{"type": "kafka", "index": "3", "name": "orders", "kind": "ScaledJob", "metadata.topic": "orders",
		"auth.password": "x", "env.HOST": "h", "keep": "5m0s"} {
		if p.asked[k] != v {
			t.Errorf("asked with %q = %q, want %q", k, p.asked[k], v)
		}
	}
	p.value = 0
	if got := poll(t.Context()); got.Active || got.Values[0].Sum != 0 {
		t.Errorf("got %+v", got)
	}
	if p.specs != 1 {
		t.Errorf("asked %d times what there is to measure", p.specs)
	}
	if stop(); p.users != 0 {
		t.Errorf("%d users after the end", p.users)
	}
}

func TestRemoteFailures(t *testing.T) {
	p := newProgram(t)
	p.value = 1
	poll := open(t, lag.Options{Helper: p}, watch("kafka"))
	p.fails = []error{status.Error(codes.Unavailable, "the helper was killed")}
	if got := poll(t.Context()); got.Err != nil {
		t.Errorf("a helper that was killed: %v", got.Err)
	}
	p.fails = []error{status.Error(codes.FailedPrecondition, "trigger 0 (kafka): no such topic")}
	if got := poll(t.Context()); got.Err == nil || got.Err.Error() != "trigger 0 (kafka): no such topic" {
		t.Errorf("got %v", got.Err)
	}
	p.absent = errors.New("it is being built")
	if got := poll(t.Context()); got.Err == nil || !errors.Is(got.Err, p.absent) {
		t.Errorf("got %v", got.Err)
	}
}

func TestCron(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	for name, c := range map[string]struct {
		start, end string
		hour       int
		want       float64
	}{
		"before":                {"0 8 * * *", "0 18 * * *", 7, 0},
		"within":                {"0 8 * * *", "0 18 * * *", 9, 4},
		"after":                 {"0 8 * * *", "0 18 * * *", 19, 0},
		"over midnight, before": {"0 22 * * *", "0 6 * * *", 21, 0},
		"over midnight, within": {"0 22 * * *", "0 6 * * *", 3, 4},
	} {
		now := time.Date(2026, 6, 1, c.hour, 30, 0, 0, zone)
		poll := open(t, lag.Options{Now: func() time.Time { return now.UTC() }},
			watch("cron", "start", c.start, "end", c.end, "timezone", "Europe/Berlin", "desiredReplicas", "4"))
		got := poll(t.Context())
		if got.Err != nil || got.Active != (c.want > 0) || got.Values[0] != (scale.Value{Sum: c.want, Target: 1, PerCopy: true}) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestResources(t *testing.T) {
	now := time.Unix(0, 0)
	copies := []run.CopyUsage{{ID: "a", CPU: time.Second, MemoryBytes: 100, MemoryLimit: 200, CPUMillis: 500},
		{ID: "b", MemoryBytes: 20, MemoryLimit: 200, CPUMillis: 500}}
	at := func(kind, metric, value string) func(context.Context) scale.Reading {
		w := watch(kind, "value", value)
		w.MetricType, w.Copies = metric, func() []run.CopyUsage { return copies }
		return open(t, lag.Options{Now: func() time.Time { return now }}, w)
	}
	cpu, cores := at("cpu", "Utilization", "60"), at("cpu", "AverageValue", "200m")
	memory, bytes := at("memory", "Utilization", "50"), at("memory", "AverageValue", "1Ki")
	check := func(name string, poll func(context.Context) scale.Reading, sum, target float64) {
		t.Helper()
		if got := poll(t.Context()); got.Err != nil || !got.Resource || len(got.Values) != 1 || math.Abs(got.Values[0].Sum-sum) > 1e-9 || got.Values[0].Target != target {
			t.Errorf("%s: got %+v, want %v of %v", name, got, sum, target)
		}
	}
	check("memory", memory, 30, 50)
	check("bytes", bytes, 60, 1024)
	if got := cpu(t.Context()); got.Err != nil || len(got.Values) != 0 {
		t.Errorf("processor time measured once: %+v", got)
	}
	cores(t.Context())
	now = now.Add(10 * time.Second)
	copies[0].CPU, copies[1].CPU = 3*time.Second, time.Second
	check("cpu", cpu, 30, 60)
	check("cores", cores, 0.15, 0.2)
	copies[0].CPUMillis = 0
	now = now.Add(time.Second)
	if got := cpu(t.Context()); got.Err == nil || !strings.Contains(got.Err.Error(), "resources.limits.cpu") {
		t.Errorf("without a limit: %v", got.Err)
	}
}

// counted is a Bus with one consumer.
type counted struct {
	n   int64
	err error
}

func (c *counted) Lag(_ context.Context, namespace, bus, consumer string) (int64, error) {
	if namespace != "ns" || bus != "default" || consumer != "mine" {
		return 0, errors.New("somebody else's")
	}
	return c.n, c.err
}

func TestBus(t *testing.T) {
	b := &counted{n: 100}
	poll := open(t, lag.Options{Bus: b}, watch("nats-jetstream", "eventBus", "default", "consumer", "mine", "lagThreshold", "5", "activationLagThreshold", "20"))
	if got := poll(t.Context()); got.Err != nil || !got.Active || got.Values[0] != (scale.Value{Sum: 100, Target: 5, PerCopy: true}) {
		t.Errorf("got %+v", got)
	}
	if b.n = 20; poll(t.Context()).Active {
		t.Error("20 is not more than 20")
	}
	if b.err = errors.New("no such consumer"); !errors.Is(poll(t.Context()).Err, b.err) {
		t.Error("its error was lost")
	}
}

func TestRefusals(t *testing.T) {
	cron := func(change ...string) run.Watch {
		w := watch("cron", "start", "0 8 * * *", "end", "0 9 * * *", "timezone", "UTC", "desiredReplicas", "1")
		w.Metadata[change[0]] = change[1]
		return w
	}
	utilization := watch("kafka")
	utilization.MetricType = "Utilization"
	for name, c := range map[string]struct {
		w    run.Watch
		says string
	}{
		"no type":            {watch(""), "no type"},
		"no helper":          {watch("kafka"), "helper"},
		"objects":            {watch("kubernetes-workload"), "cluster"},
		"kind of metric":     {utilization, "Utilization is for cpu and memory"},
		"cron start":         {cron("start", "x"), "metadata start"},
		"cron end":           {cron("end", "x"), "metadata end"},
		"cron, the same":     {cron("end", "0 8 * * *"), "must differ"},
		"cron zone":          {cron("timezone", "Nowhere/At_all"), "timezone"},
		"cron no zone":       {cron("timezone", ""), "Europe/Berlin"},
		"cron copies":        {cron("desiredReplicas", "0"), "desiredReplicas"},
		"cpu":                {watch("cpu", "value", "50"), "metricType"},
		"cpu value":          {watch("cpu", "type", "Utilization", "value", "x"), "percentage"},
		"memory value":       {watch("memory", "type", "AverageValue", "value", "x"), "quantity"},
		"no bus":             {watch("nats-jetstream", "eventBus", "default"), "no event buses"},
		"no bus, but helper": {watch("nats-jetstream"), "helper"},
	} {
		if _, _, err := lag.New(lag.Options{}).Open(c.w); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
	for name, w := range map[string]run.Watch{
		"no consumer":   watch("nats-jetstream", "eventBus", "b"),
		"bad threshold": watch("nats-jetstream", "eventBus", "b", "consumer", "c", "lagThreshold", "0"),
		"bad number":    watch("nats-jetstream", "eventBus", "b", "consumer", "c", "activationLagThreshold", "x"),
	} {
		if _, _, err := lag.New(lag.Options{Bus: &counted{}}).Open(w); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
