package function

import (
	"testing"

	"k8s.io/client-go/tools/events"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Why a copy of a revision that goes on serving has ended is told once, and never that it has recovered.
func TestStumbled(t *testing.T) {
	running := func(reason string) *v1beta2.StageStatus {
		return &v1beta2.StageStatus{State: v1beta2.StateRunning, ResourceRef: "fn-00001", Reason: reason, Message: "killed"}
	}
	failed := &v1beta2.StageStatus{State: v1beta2.StateFailed, Reason: "OutOfMemory"}
	for _, c := range []struct {
		name          string
		before, after *v1beta2.StageStatus
		told          int
	}{
		{"a copy has ended", running(""), running("OutOfMemory"), 1},
		{"the same is seen again", running("OutOfMemory"), running("OutOfMemory"), 0},
		{"another reason", running("OutOfMemory"), running("ContainerCrashed"), 1},
		{"another copy serves", running("OutOfMemory"), running(""), 0},
		{"never seen before", nil, running("OutOfMemory"), 1},
		{"the revision has failed, which is told as that", running(""), failed, 0},
		{"nothing serves", nil, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := events.NewFakeRecorder(10)
			stumbled(r, &v1beta2.Function{}, c.before, c.after)
			if len(r.Events) != c.told {
				t.Errorf("%d events, want %d", len(r.Events), c.told)
			}
		})
	}
}
