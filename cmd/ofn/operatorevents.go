package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	eventbusrun "github.com/openfunction/ofn/internal/control/eventbus/run"
	control "github.com/openfunction/ofn/internal/control/eventing"
	eventsourcerun "github.com/openfunction/ofn/internal/control/eventsource/run"
	triggercontrol "github.com/openfunction/ofn/internal/control/trigger/run"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cluster"
	triggerrun "github.com/openfunction/ofn/internal/event/trigger/run"
)

// eventSettings say how events are run on a cluster.
type eventSettings struct {
	image, ownPod         string
	storage, storageClass string
}

func (s *eventSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.image, "event-image", "", "image of event sources, triggers and buses: one whose entrypoint is ofn (default: that of --own-pod)")
	f.StringVar(&s.ownPod, "own-pod", "", "name of the operator's own pod; without it and --event-image no events are handled")
	f.StringVar(&s.storage, "event-storage", "10Gi", "size of the volume of an event bus that says nothing of its retention; 0 keeps events in the pod, with which they go")
	f.StringVar(&s.storageClass, "event-storage-class", "", "storage class of the volumes of event buses (default: the cluster's)")
}

// eventControllers are those of events. There are none on an API server that has no pods.
func (s *operatorSettings) eventControllers(ctx context.Context, m ctrl.Manager, log *slog.Logger) ([]registrable, error) {
	for _, o := range cluster.Kinds() {
		kind, err := m.GetClient().GroupVersionKindFor(o)
		if err != nil {
			return nil, fmt.Errorf("finding the kind of %T: %w", o, err)
		}
		if _, err := m.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version); meta.IsNoMatchError(err) {
			return nil, nil
		}
	}
	if err := s.prepareEvents(ctx, m.GetConfig()); err != nil {
		return nil, err
	}
	objects, err := eventObjects(m, s)
	if err != nil {
		return nil, err
	}
	engine, err := s.eventEngine(m, objects, log)
	if err != nil {
		return nil, err
	}
	c := m.GetClient()
	_, err = m.GetRESTMapper().RESTMapping(daprv1.GroupVersion.WithKind("Component").GroupKind(), daprv1.GroupVersion.Version)
	noDapr := meta.IsNoMatchError(err)
	r := &control.Resolver{Client: c, Engine: engine, ClusterDomain: s.clusterDomain, OnCluster: true, Namespaced: s.namespace != ""}
	buses := eventbusrun.Options{Engine: engine, Resolver: r, Clock: clock.RealClock{}, WithoutComponents: noDapr}
	out := []registrable{
		eventFollower{&cluster.Follower{Engine: engine, Objects: objects, Manifests: m.GetCache()}},
		eventbusrun.NewController(c, buses),
		eventsourcerun.NewController(c, eventsourcerun.Options{Engine: engine, Resolver: r, Clock: clock.RealClock{}, WithoutComponents: noDapr}),
		triggercontrol.NewController(c, triggercontrol.Options{Engine: engine, Resolver: r, Clock: clock.RealClock{}}),
	}
	if s.namespace == "" {
		out = append(out, eventbusrun.NewClusterController(c, buses))
	}
	return out, nil
}

// eventFollower tells the engine of its objects.
type eventFollower struct{ *cluster.Follower }

// Name implements registrable.
func (eventFollower) Name() string { return "events.follow" }

// Register implements registrable.
func (f eventFollower) Register(m ctrl.Manager) error { return m.Add(f.Follower) }

// eventObjects is a cache of what events have, and nothing else.
func eventObjects(m ctrl.Manager, s *operatorSettings) (cache.Cache, error) {
	has, err := labels.NewRequirement(cluster.LabelEvents, selection.Exists, nil)
	if err != nil {
		return nil, err
	}
	o := cache.Options{Scheme: m.GetScheme(), Mapper: m.GetRESTMapper(), HTTPClient: m.GetHTTPClient(),
		DefaultLabelSelector: labels.NewSelector().Add(*has), DefaultTransform: cache.TransformStripManagedFields()}
	if s.namespace != "" {
		o.DefaultNamespaces = map[string]cache.Config{s.namespace: {}}
	}
	objects, err := cache.New(m.GetConfig(), o)
	if err != nil {
		return nil, fmt.Errorf("making the cache of events: %w", err)
	}
	return objects, m.Add(objects)
}

func (s *operatorSettings) eventEngine(m ctrl.Manager, objects cache.Cache, log *slog.Logger) (*cluster.Engine, error) {
	c, err := client.New(m.GetConfig(), client.Options{Scheme: m.GetScheme(), Mapper: m.GetRESTMapper(), HTTPClient: m.GetHTTPClient(),
		Cache: &client.CacheOptions{Reader: objects, Unstructured: true}})
	if err != nil {
		return nil, fmt.Errorf("making the client of events: %w", err)
	}
	storage, err := resource.ParseQuantity(s.events.storage)
	if err != nil {
		return nil, fmt.Errorf("--event-storage is %q: %w; it is a size such as 10Gi, or 0", s.events.storage, err)
	}
	home := s.ownNamespace
	if s.namespace != "" {
		home = s.namespace
	}
	return cluster.New(cluster.Options{Objects: c, Live: m.GetAPIReader(), Manifests: m.GetClient(), Image: s.events.image, Namespace: home, ClusterDomain: s.clusterDomain,
		Storage: storage, StorageClass: s.events.storageClass, KEDA: hasKEDA(m.GetClient()), Queues: queuesOf, Ask: askHandler(), Tidier: busTidier{log}, Log: log}), nil
}

// prepareEvents finds the image of the operator's own pod.
func (s *operatorSettings) prepareEvents(ctx context.Context, config *rest.Config) error {
	if s.events.image != "" || s.events.ownPod == "" {
		return nil
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("finding the image of event handlers: %w", err)
	}
	p, err := c.CoreV1().Pods(s.ownNamespace).Get(ctx, s.events.ownPod, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("finding the image of event handlers: %w; give it with --event-image, or leave out --own-pod", err)
	}
	s.events.image = p.Spec.Containers[0].Image
	return nil
}

// queuesOf are the consumers of a trigger.
func queuesOf(b event.Bus, t event.Trigger) []cluster.Queue {
	stream := jetstream.Stream(b.Name.String())
	if j, err := event.JetStreamOptionsOf(b); err == nil && j.Stream != "" {
		stream = j.Stream
	}
	var out []cluster.Queue
	for _, name := range triggerrun.Consumers(t) {
		out = append(out, cluster.Queue{Stream: stream, Consumer: jetstream.Durable(name)})
	}
	return out
}

// longestReport is how much a handler may say of itself, in bytes.
const longestReport = 1 << 20

// askHandler asks handlers how they stand.
func askHandler() func(context.Context, string) ([]cluster.Report, error) {
	over := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}}
	return func(ctx context.Context, address string) ([]cluster.Report, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", http.NoBody)
		if err != nil {
			return nil, err
		}
		res, err := over.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("asking %s how it stands: %s", address, res.Status)
		}
		var out []cluster.Report
		if err := json.NewDecoder(io.LimitReader(res.Body, longestReport)).Decode(&out); err != nil {
			return nil, fmt.Errorf("reading how %s stands: %w", address, err)
		}
		return out, nil
	}
}

// busTidier removes what buses on JetStream keep for triggers; the others know nothing of who reads them.
type busTidier struct{ log *slog.Logger }

func (t busTidier) with(b event.Bus, do func(bus.Bus) error) error {
	if b.Kind != events.BusJetStream {
		return nil
	}
	on, err := busKinds(&eventing{}, t.log)[b.Kind](b)
	if err != nil {
		return err
	}
	defer on.Close()
	return do(on)
}

// Forget implements cluster.Tidier.
func (t busTidier) Forget(ctx context.Context, b event.Bus, tr event.Trigger) error {
	return t.with(b, func(on bus.Bus) error { return triggerrun.New(nil).Forget(ctx, tr, on) })
}

// Sweep implements cluster.Tidier.
func (t busTidier) Sweep(ctx context.Context, b event.Bus, gone func(event.Name) (bool, error)) error {
	return t.with(b, func(on bus.Bus) error { return triggerrun.New(nil).Sweep(ctx, on, gone) })
}
