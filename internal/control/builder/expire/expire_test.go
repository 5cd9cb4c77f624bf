package expire_test

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/builder/expire"
	"github.com/openfunction/ofn/internal/control/controltest"
)

func TestExpire(t *testing.T) {
	epoch := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", UID: "u"}, Status: v1beta2.FunctionStatus{Build: &v1beta2.StageStatus{ResourceRef: "current"}}}
	for name, test := range map[string]struct {
		builder string
		state   v1beta2.State
		limit   time.Duration
		age     time.Duration
		removed bool
		again   time.Duration
	}{
		"old":                {"b", v1beta2.StateSucceeded, time.Hour, time.Hour, true, 0},
		"young":              {"b", v1beta2.StateSucceeded, time.Hour, 45 * time.Minute, false, 15 * time.Minute},
		"failed":             {"b", v1beta2.StateFailed, time.Hour, 2 * time.Hour, true, 0},
		"running":            {"b", v1beta2.StateBuilding, time.Hour, 2 * time.Hour, false, 0},
		"for ever":           {"b", v1beta2.StateSucceeded, 0, 1000 * time.Hour, false, 0},
		"current and good":   {"current", v1beta2.StateSucceeded, time.Hour, 2 * time.Hour, true, 0},
		"current and failed": {"current", v1beta2.StateFailed, time.Hour, 2 * time.Hour, false, time.Hour}, // it would only be built again
		"current, cancelled": {"current", v1beta2.StateCanceled, time.Hour, 2 * time.Hour, false, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			b := &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: test.builder, CreationTimestamp: metav1.NewTime(epoch),
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(fn, v1beta2.GroupVersion.WithKind("Function"))}}}
			b.Spec.BuilderMaxAge, b.Status.State = &metav1.Duration{Duration: test.limit}, test.state
			c := controltest.New(t, b, fn.DeepCopy())
			k := expire.NewController(c, clocktesting.NewFakePassiveClock(epoch.Add(test.age)))
			request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(b)}
			result, err := k.Reconcile(context.Background(), request)
			if err != nil || result.RequeueAfter != test.again {
				t.Errorf("result %+v, error %v", result, err)
			}
			err = c.Raw.Get(context.Background(), request.NamespacedName, b)
			if apierrors.IsNotFound(err) != test.removed {
				t.Errorf("reading it afterwards: %v", err)
			}
			if _, err := k.Reconcile(context.Background(), request); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}
