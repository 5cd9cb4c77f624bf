package cluster

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// TokenFile is the key and file of the token that a bus is spoken to with.
const TokenFile = "token"

// What of a volume events and dead letters may fill; the rest is left to the server.
const (
	eventShare, letterShare = 0.75, 0.10
	usualVolume             = 10 << 30 // where there is none, this much is assumed
)

// ApplyBus implements event.Engine.
func (e *Engine) ApplyBus(ctx context.Context, b event.Bus) error {
	ref := event.Ref{Kind: event.KindBus, Name: b.Name}
	next, status := reach{bus: b}, event.Status{Ready: true, Lag: -1, Message: "it is reached by the event sources and triggers that use it"}
	if b.Kind == events.BusEmbedded {
		if e.o.Image == "" {
			return errNoImage
		}
		var err error
		if next, status, err = e.serve(ctx, ref, b); err != nil {
			return err
		}
	}
	users := e.busIs(b.Name, next)
	e.settle(ref, part{status: status})
	e.watch.notify(users...)
	return nil
}

// busIs keeps how a bus is used, and gives those to whom that is news.
func (e *Engine) busIs(name event.Name, r reach) []event.Ref {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, known := e.buses[name]
	e.buses[name] = r
	if known && same(old.bus, r.bus) {
		return nil
	}
	return e.users(name)
}

func same(a, b event.Bus) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

// serve runs a bus of the platform's own.
func (e *Engine) serve(ctx context.Context, ref event.Ref, b event.Bus) (reach, event.Status, error) {
	m := &maker{engine: e, ref: ref, namespace: ref.Namespace}
	if m.namespace == "" {
		m.namespace = e.o.Namespace
	}
	token, err := m.ownBus(ctx)
	if err != nil {
		return reach{}, event.Status{}, err
	}
	if _, err := m.ensure(ctx, m.service(map[string]any{"clusterIP": corev1.ClusterIPNone, "publishNotReadyAddresses": true, "ports": []corev1.ServicePort{
		{Name: "nats", Port: PortNATS, TargetPort: intstr.FromInt32(PortNATS), Protocol: corev1.ProtocolTCP},
		{Name: "monitor", Port: PortMonitor, TargetPort: intstr.FromInt32(PortMonitor), Protocol: corev1.ProtocolTCP}}})); err != nil {
		return reach{}, event.Status{}, err
	}
	set, err := m.statefulSet(ctx, b, token)
	if err != nil {
		return reach{}, event.Status{}, err
	}
	status, err := e.observed(ctx, ref, set)
	if err != nil {
		return reach{}, event.Status{}, err
	}
	out := reach{own: true, bus: event.Bus{Name: b.Name, Kind: events.BusJetStream, Retention: b.Retention}}
	volume := e.volume(b)
	if out.bus.Retention.MaxBytes == 0 {
		out.bus.Retention.MaxBytes = int64(float64(volume) * eventShare)
	}
	out.letters = int64(float64(volume) * letterShare)
	url := fmt.Sprintf("nats://%s.%s.svc.%s:%d", m.name(), m.namespace, e.o.ClusterDomain, PortNATS)
	if out.bus.Options, err = json.Marshal(event.JetStreamOptions{URL: url, Token: token}); err != nil {
		return out, status, fmt.Errorf("writing how bus %s is reached: %w", b.Name, err)
	}
	return out, status, err
}

// volume is the size of a bus's disk: what it is asked to keep, and room beside that.
func (e *Engine) volume(b event.Bus) int64 {
	if keep := b.Retention.MaxBytes; keep > 0 {
		return int64(float64(keep) / eventShare)
	}
	if e.o.Storage.IsZero() {
		return usualVolume
	}
	return e.o.Storage.Value()
}

// ownBus makes the Secret with the token of a bus, once, and finds its owner: its object, or, for the bus that is there without being
// declared, the Secret itself.
func (m *maker) ownBus(ctx context.Context) (token string, err error) {
	declared, err := m.declared(ctx)
	if err != nil {
		return "", err
	}
	there := &corev1.Secret{}
	err = m.engine.o.Live.Get(ctx, client.ObjectKey{Namespace: m.namespace, Name: m.name()}, there)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading secret %s: %w", m.name(), err)
	}
	token = string(there.Data[TokenFile])
	if token == "" {
		token = rand.Text()
	}
	if declared != nil {
		m.owner = *declared
		_, err := m.ensure(ctx, m.secret(map[string][]byte{TokenFile: []byte(token)}))
		return token, err
	}
	switch {
	case apierrors.IsNotFound(err):
		there = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: m.name(), Labels: m.labels()},
			Type: corev1.SecretTypeOpaque, Data: map[string][]byte{TokenFile: []byte(token)}}
		if err := m.engine.o.Objects.Create(ctx, there); err != nil {
			return "", fmt.Errorf("making secret %s: %w", m.name(), err)
		}
	case len(there.Data[TokenFile]) == 0:
		return "", fmt.Errorf("secret %s/%s has no key %q: delete it, and another is made", m.namespace, m.name(), TokenFile)
	}
	m.owner = metav1.OwnerReference{APIVersion: "v1", Kind: "Secret", Name: there.Name, UID: there.UID, Controller: new(true)}
	return token, nil
}

// declared is the owner of a bus that has an object.
func (m *maker) declared(ctx context.Context) (*metav1.OwnerReference, error) {
	var o client.Object = &events.EventBus{}
	kind := "EventBus"
	if m.ref.Namespace == "" {
		o, kind = &events.ClusterEventBus{}, "ClusterEventBus"
	}
	err := m.engine.o.Manifests.Get(ctx, client.ObjectKey{Namespace: m.ref.Namespace, Name: m.ref.Name.Name}, o)
	if apierrors.IsNotFound(err) && m.ref.Namespace == "" && m.ref.Name.Name == events.DefaultEventBus {
		return nil, nil //nolint:nilnil // it has none
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", kind, m.ref.Name.Name, err)
	}
	return owner(kind, o), nil
}

func owner(kind string, o client.Object) *metav1.OwnerReference {
	return &metav1.OwnerReference{APIVersion: events.GroupVersion.String(), Kind: kind, Name: o.GetName(), UID: o.GetUID(), Controller: new(true)}
}

// statefulSet runs the server of a bus. What cannot be changed of one that is there stays.
func (m *maker) statefulSet(ctx context.Context, b event.Bus, token string) (*unstructured.Unstructured, error) {
	pod := m.pod([]string{"event-bus", "--dir=" + storeDir, "--token-file=" + planDir + "/" + TokenFile, "--log-format=json",
		"--address=:" + strconv.Itoa(PortNATS), "--monitor-address=:" + strconv.Itoa(PortMonitor)}, storeDir)
	c := &pod.Containers[0]
	c.Ports = append(c.Ports, corev1.ContainerPort{Name: "nats", ContainerPort: PortNATS, Protocol: corev1.ProtocolTCP},
		corev1.ContainerPort{Name: "monitor", ContainerPort: PortMonitor, Protocol: corev1.ProtocolTCP})
	c.Resources.Requests[corev1.ResourceMemory] = resource.MustParse("128Mi")
	c.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("1Gi")
	spec := map[string]any{
		"replicas": 1, "serviceName": m.name(), "selector": map[string]any{"matchLabels": map[string]string{LabelEvents: identity(m.ref)}},
	}
	o := m.object("apps/v1", "StatefulSet", spec)
	wanted, err := drift.Object(o)
	if err != nil {
		return nil, err
	}
	there, err := drift.Read(ctx, m.engine.o.Objects, wanted)
	if err != nil {
		return nil, err
	}
	size, class := "", m.engine.o.StorageClass
	if !m.engine.o.Storage.IsZero() {
		size = resource.NewQuantity(m.engine.volume(b), resource.BinarySI).String()
	}
	if there != nil {
		size, class = volumeOf(there)
	}
	if size == "" {
		pod.Volumes = append(pod.Volumes, scratch(storeDir))
	} else {
		spec["volumeClaimTemplates"] = claims(size, class)
	}
	sum := sha256.Sum256([]byte(token))
	spec["template"] = m.template(map[string]string{annotationPlan: hex.EncodeToString(sum[:8])}, pod)
	return m.ensure(ctx, o)
}

// claims are those of a bus. Its volume stays when it goes.
func claims(size, class string) []any {
	spec := map[string]any{"accessModes": []any{"ReadWriteOnce"}, "volumeMode": "Filesystem", "resources": map[string]any{"requests": map[string]any{"storage": size}}}
	if class != "" {
		spec["storageClassName"] = class
	}
	return []any{map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": storeDir[1:]}, "spec": spec}}
}

// volumeOf is what a StatefulSet was made with, which cannot be changed.
func volumeOf(set *unstructured.Unstructured) (size, class string) {
	list, _, _ := unstructured.NestedSlice(set.Object, "spec", "volumeClaimTemplates")
	if len(list) == 0 {
		return "", ""
	}
	claim, _ := list[0].(map[string]any)
	size, _, _ = unstructured.NestedString(claim, "spec", "resources", "requests", "storage")
	class, _, _ = unstructured.NestedString(claim, "spec", "storageClassName")
	return size, class
}

// observed is how the pods of something stand, as far as the cluster and they themselves say.
func (e *Engine) observed(ctx context.Context, ref event.Ref, workload *unstructured.Unstructured) (event.Status, error) {
	stands, err := podstatus.OfObject(ctx, e.o.Objects, workload, false)
	if err != nil {
		return event.Status{}, err
	}
	return e.status(ref, stands), nil
}
