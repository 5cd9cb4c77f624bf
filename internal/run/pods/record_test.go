package pods

import (
	"testing"

	"github.com/openfunction/ofn/internal/run"
)

// TestStanding: what the gateway wrote is read, and a pod that was refused has the reason of the other engines.
func TestStanding(t *testing.T) {
	for name, c := range map[string]struct {
		written run.Status
		reason  string
	}{
		"ready":   {run.Status{Phase: run.Ready, Desired: 1, Ready: 1}, ""},
		"a quota": {run.Status{Phase: run.Failed, Reason: "Forbidden", Message: `making a pod: pods "x" is forbidden: exceeded quota: none`}, "QuotaExceeded"},
		"a rule":  {run.Status{Phase: run.Failed, Reason: "Forbidden", Message: `making a pod: pods "x" is forbidden: violates PodSecurity "restricted:latest"`}, "PodSecurityViolated"},
		"a hook":  {run.Status{Phase: run.Failed, Reason: "Forbidden", Message: "admission webhook denied the request"}, "PodRefused"},
		"other":   {run.Status{Phase: run.Failed, Reason: "ImagePullFailed"}, "ImagePullFailed"},
		"nothing": {run.Status{}, "WaitingForGateway"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := encode(c.written)
			if err != nil {
				t.Fatal(err)
			}
			if got := standing(map[string]string{annotationStanding: text}); got.Reason != c.reason {
				t.Errorf("the reason is %q, want %q", got.Reason, c.reason)
			}
		})
	}
}
