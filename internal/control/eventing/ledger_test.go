package eventing_test

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/event"
)

func ref(name string) event.Ref {
	return event.Ref{Kind: event.KindSource, Name: event.Name{Namespace: "ns", Name: "s"}, Event: name}
}

func TestKeep(t *testing.T) {
	ctx, e := context.Background(), &controltest.Engine{}
	l := eventing.NewLedger(e, clocktesting.NewFakeClock(time.Unix(0, 0)), nil)
	owner := types.NamespacedName{Namespace: "ns", Name: "s"}
	for _, r := range []event.Ref{ref("a"), ref("b"), ref("c")} {
		e.Set(r, event.Status{}, false)
	}
	there := func(want ...bool) {
		t.Helper()
		for i, name := range []string{"a", "b", "c"} {
			if _, ok := e.Status(ref(name)); ok != want[i] {
				t.Errorf("%s is there: %v", name, ok)
			}
		}
	}
	keep := func(refs ...event.Ref) {
		t.Helper()
		if err := l.Keep(ctx, owner, refs...); err != nil {
			t.Fatal(err)
		}
	}
	keep(ref("a"), ref("b"), ref("c"))
	keep(ref("b"), ref("c"))
	there(false, true, true)
	e.Refuse = errors.New("busy")
	if err := l.Keep(ctx, owner); !errors.Is(err, e.Refuse) {
		t.Errorf("error is %v", err)
	}
	e.Refuse = nil
	keep() // what could not be deleted is deleted now
	there(false, false, false)
}

// What the engine tells, and figures that change without a word, reach the queue; Start ends with its context.
func TestWakes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	e, clock := &controltest.Engine{}, clocktesting.NewFakeClock(time.Unix(0, 0))
	l := eventing.NewLedger(e, clock, func(n types.NamespacedName) client.Object {
		return &events.EventSource{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name}}
	})
	owner := types.NamespacedName{Namespace: "ns", Name: "s"}
	if err := l.Keep(ctx, owner, ref("a")); err != nil {
		t.Fatal(err)
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	ended := make(chan error, 2)
	go func() { ended <- l.Source().Start(ctx, queue) }()
	go func() { ended <- l.Start(ctx) }()
	next := func(why string) {
		t.Helper()
		controltest.Soon(t, why, func() bool { return queue.Len() > 0 })
		got, _ := queue.Get()
		queue.Done(got)
		if got.NamespacedName != owner {
			t.Errorf("%s: queued %v", why, got)
		}
	}
	next("what was there before")
	controltest.Soon(t, "a watch", func() bool { return e.Watched() == 1 && clock.HasWaiters() })
	e.Set(ref("a"), event.Status{Ready: true}, true)
	next("a change that was told")
	clock.Step(eventing.Rarely)
	next("the first look")
	e.Set(ref("a"), event.Status{Ready: true, Handled: 7}, false)
	clock.Step(eventing.Rarely)
	next("a figure")
	e.Set(ref("unknown"), event.Status{}, true)
	clock.Step(eventing.Rarely)
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if queue.Len() != 0 {
		t.Error("queued although nothing changed")
	}
}
