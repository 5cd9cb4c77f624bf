package main

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	eventsapi "github.com/openfunction/ofn/api/events/v1alpha1"
)

// listed is a client of two EventSources.
type listed struct{ client.Reader }

func (listed) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	all := into.(*eventsapi.EventSourceList)
	for _, namespace := range []string{"mine", "theirs"} {
		all.Items = append(all.Items, eventsapi.EventSource{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
			Spec: eventsapi.EventSourceSpec{Cron: map[string]*eventsapi.CronSpec{"new": {Schedule: "@daily"}}}})
	}
	return nil
}

func TestTopicsOfOthers(t *testing.T) {
	for topic, may := range map[string]bool{"results": true, "mine-orders-new": true, "theirs-orders-new": false} {
		if err := ownTopic(t.Context(), listed{}, "mine", topic); (err == nil) != may {
			t.Errorf("%s: %v", topic, err)
		}
	}
}
