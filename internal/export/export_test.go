package export_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
	eventsv1 "github.com/openfunction/ofn/api/events/v1alpha1"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/export"
)

func server(t testing.TB, objects ...client.Object) client.Client {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(objects...).Build()
}

func scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta2.AddToScheme, networking.AddToScheme,
		eventsv1.AddToScheme, daprv1.AddToScheme, daprv2.AddToScheme, kedav1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// parse reads manifests into their types.
func parse(t *testing.T, text string) []client.Object {
	t.Helper()
	s := scheme(t)
	var out []client.Object
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatal(err)
		}
		o, err := s.New(kind.GroupVersionKind())
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		out = append(out, o.(client.Object))
	}
	return out
}

// held are images by name.
type held map[string]string

func (r held) Digest(_ context.Context, image string) (string, error) { return r[image], nil }

func collect(t *testing.T, c client.Reader, r export.Registry, o export.Options) *export.Bundle {
	t.Helper()
	b, err := export.Collect(t.Context(), c, r, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ids(b *export.Bundle) []string {
	var out []string
	for _, o := range b.Objects {
		out = append(out, export.File(o))
	}
	return out
}

const world = `apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata:
  name: taken
  namespace: shop
  uid: u1
  resourceVersion: "7"
  generation: 3
  finalizers: [a/b]
  ownerReferences: [{apiVersion: example.com/v1, kind: Shop, name: s, uid: u0, controller: true}]
  managedFields: [{manager: ofn, operation: Apply, apiVersion: core.openfunction.io/v1beta2, fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}}]
  labels: {team: a}
  annotations: {openfunction.io/rebuild: "1", mine: "yes", kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec:
  image: ofn.local/shop/taken:latest
  imageCredentials: {name: push}
  build: {builder: native, srcRepo: {bundleContainer: {image: "ofn.local/shop/taken-source@sha256:3333333333333333333333333333333333333333333333333333333333333333"}}}
  serving:
    triggers: {dapr: [{name: orders, type: pubsub.kafka, topic: t}]}
    outputs: [{dapr: {name: store, type: bindings.redis}}]
    traffic: [{revisionName: taken-00001, percent: 100}]
    bindings: {store: {type: bindings.redis, version: v1, metadata: [{name: password, secretKeyRef: {name: redis, key: p}}]}}
    scaleOptions: {keda: {triggers: [{type: kafka, metadata: {topic: t}, authenticationRef: {name: kafka}}]}}
    template:
      serviceAccountName: clerk
      runtimeClassName: wasm
      imagePullSecrets: [{name: pull}]
      volumes: [{name: v, secret: {secretName: mounted}}, {name: p, projected: {sources: [{configMap: {name: projected}}]}}, {name: h, hostPath: {path: /data}}]
      containers: [{name: function, envFrom: [{configMapRef: {name: env}}]}]
status:
  revision: {imageDigest: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}
---
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: other, namespace: shop}
spec:
  image: docker.io/me/other:v1
---
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata:
  name: esw-made
  namespace: shop
  ownerReferences: [{apiVersion: events.openfunction.io/v1alpha1, kind: EventSource, name: es, uid: u2, controller: true}]
spec: {image: handler}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: orders, namespace: shop}
spec: {type: pubsub.kafka, version: v1, metadata: [{name: saslPassword, secretKeyRef: {name: kafka-login, key: p}}]}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: unused, namespace: shop}
spec: {type: pubsub.kafka, version: v1}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {name: kafka, namespace: shop}
spec: {secretTargetRef: [{parameter: sasl, name: kafka-login, key: p}]}
---
apiVersion: events.openfunction.io/v1alpha1
kind: EventSource
metadata: {name: es, namespace: shop}
spec: {eventBus: bus, file: {drops: {path: /drops}}}
---
apiVersion: events.openfunction.io/v1alpha1
kind: EventSource
metadata: {name: far, namespace: shop}
spec: {eventBus: other, cron: {tick: {schedule: "@every 1s"}}}
---
apiVersion: events.openfunction.io/v1alpha1
kind: EventBus
metadata: {name: bus, namespace: shop}
spec: {}
---
apiVersion: events.openfunction.io/v1alpha1
kind: Trigger
metadata: {name: to-taken, namespace: shop}
spec:
  eventBus: bus
  inputs: {a: {eventSource: es, event: drops}}
  subscribers: [{condition: a, sink: {ref: {apiVersion: core.openfunction.io/v1beta2, kind: Function, name: taken}}}]
---
apiVersion: networking.openfunction.io/v1alpha1
kind: Gateway
metadata: {name: openfunction, namespace: openfunction}
spec: {domain: localhost}
---
apiVersion: v1
kind: Secret
metadata: {name: kafka-login, namespace: shop}
type: Opaque
data: {p: czNjcmV0}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: env, namespace: shop}
data: {A: b}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: nobodys, namespace: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop, team: a}}`

var inRegistry = held{
	"ofn.local/shop/taken@sha256:1111111111111111111111111111111111111111111111111111111111111111":        "sha256:1111111111111111111111111111111111111111111111111111111111111111",
	"ofn.local/shop/taken-source@sha256:3333333333333333333333333333333333333333333333333333333333333333": "sha256:3333333333333333333333333333333333333333333333333333333333333333",
}

func TestOneFunctionBringsWhatBelongsToIt(t *testing.T) {
	b := collect(t, server(t, parse(t, world)...), inRegistry, export.Options{Names: []string{"taken"}, Namespace: "shop", Target: export.Cluster, Registry: "r.example.com/team", Credentials: "there"})
	want := []string{"shop/namespace-shop.yaml", "shop/configmap-env.yaml", "shop/triggerauthentication-kafka.yaml", "shop/component-orders.yaml", "shop/eventbus-bus.yaml",
		"shop/function-taken.yaml", "shop/eventsource-es.yaml", "shop/trigger-to-taken.yaml"}
	if got := ids(b); !slices.Equal(got, want) {
		t.Errorf("objects are %v, want %v", got, want)
	}
	fn := b.Objects[5].DeepCopy()
	meta := fmt.Sprint(fn.Object["metadata"])
	if meta != "map[annotations:map[mine:yes] labels:map[team:a] name:taken namespace:shop]" || fn.Object["status"] != nil {
		t.Errorf("metadata are %s, status %v", meta, fn.Object["status"])
	}
	if ns := fmt.Sprint(b.Objects[0].Object["metadata"]); ns != "map[labels:map[team:a] name:shop]" {
		t.Errorf("the namespace has %s", ns)
	}
	var moved v1beta2.Function
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fn.Object, &moved); err != nil {
		t.Fatal(err)
	}
	if moved.Spec.Image != "r.example.com/team/shop/taken:latest" || moved.Spec.ImageCredentials.Name != "there" || moved.Spec.Build.SrcRepo.Credentials.Name != "there" ||
		!strings.HasPrefix(moved.Spec.Build.SrcRepo.BundleContainer.Image, "r.example.com/team/shop/taken-source@sha256:3333") {
		t.Errorf("the function is %+v", moved.Spec)
	}
	if len(b.Images) != 1 || !strings.HasPrefix(b.Images[0].From, "ofn.local/shop/taken-source@sha256:3333") {
		t.Errorf("images are %v", b.Images)
	}
	var missing []string
	for _, m := range b.Missing {
		missing = append(missing, fmt.Sprintf("%s %s %v %v", m.Kind, m.Name, m.Absent, m.Keys))
	}
	if want := []string{"ConfigMap projected true []", "Secret kafka-login false [p]", "Secret mounted true []", "Secret pull true []", "Secret redis true []", "Secret there true []"}; !slices.Equal(missing, want) {
		t.Errorf("missing are %v, want %v", missing, want)
	}
	warned(t, b, "build.builder \"native\"", "traffic is left out: it names taken-00001", "service account clerk", "volume h is /data", "runtimeClassName is wasm",
		"spec.file (drops)", "eventbus shop/bus: is inside this machine")
}

func warned(t *testing.T, b *export.Bundle, want ...string) {
	t.Helper()
	var all []string
	for _, w := range b.Warnings {
		all = append(all, w.String())
	}
	said := strings.Join(all, "\n")
	for _, w := range want {
		if !strings.Contains(said, w) {
			t.Errorf("no warning has %q", w)
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d warnings, want %d:\n%s", len(all), len(want), said)
	}
}

func TestEverything(t *testing.T) {
	c := server(t, parse(t, world)...)
	b := collect(t, c, inRegistry, export.Options{Target: export.Cluster, Prebuilt: true, Secrets: true})
	got := ids(b)
	for _, want := range []string{"shop/secret-kafka-login.yaml", "shop/component-unused.yaml", "shop/function-other.yaml", "shop/eventsource-far.yaml"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not in %v", want, got)
		}
	}
	for _, never := range []string{"shop/configmap-nobodys.yaml", "shop/function-esw-made.yaml", "openfunction/gateway-openfunction.yaml"} {
		if slices.Contains(got, never) {
			t.Errorf("%s is in %v", never, got)
		}
	}
	said := fmt.Sprint(b.Warnings)
	for _, want := range []string{"--registry", "its domain \"localhost\""} {
		if !strings.Contains(said, want) {
			t.Errorf("no warning has %q: %s", want, said)
		}
	}
	if _, err := export.Collect(t.Context(), c, nil, export.Options{Names: []string{"nobody"}, Namespace: "shop"}); err == nil || !strings.Contains(err.Error(), `no function "nobody" in namespace shop`) {
		t.Errorf("error is %v", err)
	}
}

// Whatever a Function says comes to the other side as it was said, and again to a third.
func TestEveryFieldComesThrough(t *testing.T) {
	s := scheme(t)
	for seed := range int64(40) {
		fn := &v1beta2.Function{TypeMeta: metav1.TypeMeta{APIVersion: v1beta2.GroupVersion.String(), Kind: "Function"}, ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "fn"}}
		filler(seed).Fill(&fn.Spec)
		if fn.Spec.Serving != nil {
			fn.Spec.Serving.Traffic = nil // revisions do not move
		}
		want := text(t, fn.Spec)
		for range 2 {
			dir := filepath.Join(t.TempDir(), "out")
			if err := collect(t, fake.NewClientBuilder().WithScheme(s).WithObjects(fn).Build(), nil, export.Options{Target: export.Machine}).Write(dir); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, "default", "function-fn.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			fn = &v1beta2.Function{}
			if err := yaml.UnmarshalStrict(data, fn); err != nil {
				t.Fatal(err)
			}
		}
		if got := text(t, fn.Spec); got != want {
			t.Fatalf("seed %d: came out as\n%s\nwas\n%s", seed, got, want)
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func filler(seed int64) *randfill.Filler {
	return randfill.New().RandSource(rand.NewSource(seed)).NilChance(0.3).NumElements(1, 3).MaxDepth(12).Funcs(
		func(o *opaque.Object, c randfill.Continue) {
			made, err := opaque.Of(map[string]any{"x" + c.String(4): int64(c.Uint32()), "list": []any{true, c.String(3)}})
			if err == nil {
				*o = made
			}
		},
		func(v *opaque.Value, c randfill.Continue) { *v = opaque.Text(c.String(5)) },
		func(d *metav1.Duration, _ randfill.Continue) { d.Duration = 1000 * 1000 * 1000 },
		func(r *corev1.LocalObjectReference, c randfill.Continue) { r.Name = "n" + c.String(5) },
	)
}

func TestWrite(t *testing.T) {
	b := collect(t, server(t, parse(t, world)...), inRegistry, export.Options{Target: export.Machine, Secrets: true, Namespace: "shop"})
	dir := filepath.Join(t.TempDir(), "out")
	tree := func() string {
		t.Helper()
		if err := b.Write(dir); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			fmt.Fprintf(&out, "%s\n%s", path, data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	first := tree()
	if first != tree() {
		t.Error("written again it is another")
	}
	if !strings.Contains(first, "# secret shop/mounted, of function shop/taken, must be made there (it is not here either)\n") || !strings.Contains(first, "- shop/function-taken.yaml\n") {
		t.Errorf("wrote\n%s", first)
	}
	if info, err := os.Stat(filepath.Join(dir, "shop", "secret-kafka-login.yaml")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's file is %v, %v", info, err)
	}
	b.Objects = b.Objects[:1]
	if strings.Contains(tree(), "function-taken") {
		t.Error("what is no longer there stays")
	}
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "kustomization.yaml"), []byte("resources: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(elsewhere); err == nil {
		t.Error("writes into somebody's directory")
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte("# Made by `ofn export`; the next one into this directory replaces it.\nresources: [../../victim]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(dir); err == nil {
		t.Error("removes files outside of the directory")
	}
}
