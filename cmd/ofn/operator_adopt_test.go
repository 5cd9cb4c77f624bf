package main

import (
	"context"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/adopt"
	"github.com/openfunction/ofn/internal/control/condition"
)

const formerServing = "serving-x7k2p"

// leftovers are those of a function that OpenFunction's operator served before it was ended.
func (o *operated) leftovers() {
	o.Helper()
	fn := httpFunction("former", "registry.example.com/former")
	o.create(fn)
	fn.Status = v1beta2.FunctionStatus{Build: &v1beta2.StageStatus{State: v1beta2.StateSkipped},
		Serving: &v1beta2.StageStatus{State: v1beta2.StateRunning, ResourceRef: formerServing, LastSuccessfulResourceRef: formerServing, ResourceHash: "9939283712312312"}}
	owners := []metav1.OwnerReference{*metav1.NewControllerRef(fn, v1beta2.GroupVersion.WithKind("Function"))}
	s := &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: formerServing, Labels: map[string]string{v1beta2.LabelFunction: "former"}, OwnerReferences: owners},
		Spec: v1beta2.ServingSpec{Image: fn.Spec.Image}}
	o.create(s)
	s.Status = v1beta2.ServingStatus{Phase: v1beta2.PhaseServing, State: v1beta2.StateRunning, ResourceRef: map[string]string{v1beta2.RefKnativeService: formerServing + "-ksvc-zb9rl"}}
	for _, err := range []error{o.client.Status().Update(context.Background(), fn), o.client.Status().Update(context.Background(), s)} {
		if err != nil {
			o.Fatal(err)
		}
	}
}

// adopted is what becomes of them: they serve until there is a revision that does.
func (o *operated) adopted(t *testing.T) {
	in := o.in(t)
	fn := in.ready("former", "former-00001")
	in.eventually(func(context.Context) string {
		if err := in.get(&v1beta2.Serving{}, formerServing); !apierrors.IsNotFound(err) {
			return fmt.Sprintf("OpenFunction's Serving is still there (%v)", err)
		}
		if err := in.get(fn, "former"); err != nil {
			return err.Error()
		}
		if c := condition.Get(fn.Status.Conditions, adopt.ConditionAdopted); c != nil {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
}
