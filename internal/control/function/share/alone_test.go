package share_test

import (
	"testing"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/function/share"
)

func TestAlone(t *testing.T) {
	fn := &v1beta2.Function{}
	fn.Annotations = map[string]string{v1beta2.AnnotationShare: "shop"}
	for _, want := range []string{"Unsupported", "Unsupported", ""} {
		if want == "" {
			fn.Annotations = nil
		}
		if _, err := (share.Alone{}).Reconcile(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
		reason := ""
		if c := condition.Get(fn.Status.Conditions, v1beta2.ConditionShared); c != nil && c.Status == "False" {
			reason = c.Reason
		}
		if reason != want {
			t.Errorf("the condition is %+v, want reason %q", fn.Status.Conditions, want)
		}
	}
	if err := (share.Alone{}).Gone(t.Context(), "ns", "fn"); err != nil {
		t.Error(err)
	}
}
