package daprapp_test

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/daprapp"
)

func triggered(t *testing.T, triggers string) *v1beta2.Serving {
	t.Helper()
	s := &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn-1", Labels: map[string]string{v1beta2.LabelFunction: "fn"}}}
	text := "pubsub: {own: {type: pubsub.redis, version: v1}}\nbindings: {every: {type: bindings.cron, version: v1}}\ntriggers: {dapr: " + triggers + "}"
	if err := yaml.UnmarshalStrict([]byte(text), &s.Spec); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestResiliencyOf(t *testing.T) {
	for triggers, want := range map[string]string{
		`[{name: own, topic: a}]`: `null`,
		`[{name: own, topic: a, retry: {}}]`: `{"policies":{"retries":{"retry-1":{"policy":"exponential","maxInterval":"1m0s","maxRetries":9}}},
			"targets":{"components":{"fn.own":{"inbound":{"retry":"retry-1"}}}}}`,
		`[{name: own, topic: a, retry: {attempts: 1}}, {name: own, topic: b, retry: {attempts: 1}}]`: `{"policies":{"retries":{"retry-1":{"policy":"exponential","maxInterval":"1m0s","maxRetries":0}}},
			"targets":{"components":{"fn.own":{"inbound":{"retry":"retry-1"}}}}}`,
		`[{name: shared, topic: a, retry: {attempts: 3, initialInterval: 2s, maxInterval: 1s}}, {name: every, retry: {attempts: 2}}]`: `{"policies":{"retries":{
			"retry-1":{"policy":"constant","duration":"200ms","maxRetries":1},"retry-2":{"policy":"constant","duration":"1s","maxRetries":2}}},
			"targets":{"components":{"fn.every":{"inbound":{"retry":"retry-1"}},"shared":{"inbound":{"retry":"retry-2"}}}}}`,
	} {
		r, err := daprapp.ResiliencyOf(metav1.OwnerReference{UID: "u"}, triggered(t, triggers))
		if err != nil {
			t.Errorf("%s: %v", triggers, err)
			continue
		}
		got := "null"
		if r != nil {
			data, err := json.Marshal(r.Spec)
			if err != nil {
				t.Fatal(err)
			}
			got = string(data)
			if r.Metadata.Name != "fn" || r.Scopes[0] != "fn-ns" || r.Metadata.OwnerReferences[0].UID != "u" {
				t.Errorf("%s: it is %+v for %v", triggers, r.Metadata, r.Scopes)
			}
		}
		if want = strings.NewReplacer("\n", "", "\t", "").Replace(want); got != want {
			t.Errorf("%s: got %s, want %s", triggers, got, want)
		}
	}
	for triggers, want := range map[string]string{
		`[{name: own, topic: a, retry: {maxAge: 1h}}]`:                                    "triggers.dapr[0].retry: maxAge",
		`[{name: own, topic: a}, {name: own, topic: b, retry: {attempts: 3}}]`:            `triggers.dapr[1].retry: the trigger before it of component "own"`,
		`[{name: own, topic: a, retry: {}}, {name: own, topic: b, retry: {attempts: 3}}]`: "one for each component",
	} {
		if _, err := daprapp.ResiliencyOf(metav1.OwnerReference{}, triggered(t, triggers)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", triggers, err, want)
		}
	}
}
