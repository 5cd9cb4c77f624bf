package knative

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

func podOf(revision string, status corev1.PodStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: revision + "-deployment-x", Labels: map[string]string{v1beta2.LabelFunction: "fn", v1beta2.LabelServing: revision}}, Status: status}
}

// Knative says why a pod does not come up when its progress deadline is over, and that may be ten minutes.
func TestTroubleOfPods(t *testing.T) {
	waiting := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
			{Name: "queue-proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			{Name: v1beta2.FunctionContainer, Image: "r.example.com/x", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
	}
	crashed := waiting("CrashLoopBackOff", "")
	crashed.ContainerStatuses[1].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 3}
	unschedulable := corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: "False", Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes"}}}
	pull := podOf("fn-1", waiting("ImagePullBackOff", "not found"))
	deploying := run.Status{Phase: run.Starting, Reason: "Deploying", Desired: 1, Starting: 1}
	own := run.Status{Phase: run.Failed, Reason: "ContainerMissing", Message: "no such image"}
	late := run.Status{Phase: run.Failed, Reason: run.ReasonStartTimeout, Desired: 1, Starting: 1}
	for name, test := range map[string]struct {
		is     run.Status
		pods   []client.Object
		unmade bool
		phase  run.Phase
		reason string
		says   string
	}{
		"image":                      {is: deploying, pods: []client.Object{pull}, phase: run.Failed, reason: podstatus.ReasonImagePull, says: "r.example.com/x"},
		"crash":                      {is: deploying, pods: []client.Object{podOf("fn-1", crashed)}, phase: run.Failed, reason: podstatus.ReasonCrashed, says: "code 3"},
		"no node":                    {is: deploying, pods: []client.Object{podOf("fn-1", unschedulable)}, phase: run.Starting, reason: podstatus.ReasonUnschedulable, says: "0/3 nodes"},
		"another revision's":         {is: deploying, pods: []client.Object{podOf("fn-2", crashed)}, phase: run.Starting, reason: "Deploying"},
		"no pod":                     {is: deploying, phase: run.Starting, reason: "Deploying"},
		"not made":                   {is: deploying, pods: []client.Object{pull}, unmade: true, phase: run.Starting, reason: "Deploying"},
		"too late":                   {is: late, pods: []client.Object{pull}, phase: run.Failed, reason: podstatus.ReasonImagePull, says: "not found"},
		"too late, and nothing else": {is: late, phase: run.Failed, reason: run.ReasonStartTimeout},
		"words of Knative's":         {is: own, phase: run.Failed, reason: "ContainerMissing", says: "no such image"},
		"while there is no node":     {is: own, pods: []client.Object{podOf("fn-1", unschedulable)}, phase: run.Failed, reason: "ContainerMissing", says: "no such image"},
		"after words of Knative's":   {is: own, pods: []client.Object{pull}, phase: run.Failed, reason: podstatus.ReasonImagePull, says: "not found"},
		"serving, with all copies":   {is: run.Status{Phase: run.Ready, Desired: 1, Ready: 1}, pods: []client.Object{pull}, phase: run.Ready},
		"serving, and one is not up": {is: run.Status{Phase: run.Ready, Desired: 2, Ready: 1, Starting: 1}, pods: []client.Object{pull}, phase: run.Ready, reason: podstatus.ReasonImagePull, says: "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			e := New(nil, nil, fake.NewClientBuilder().WithObjects(test.pods...).Build())
			out := cluster.Status{Revisions: map[string]run.Status{"fn-1": test.is}, Made: map[string]bool{"fn-1": !test.unmade}}
			if err := e.troubled(t.Context(), &cluster.Service{Namespace: "a", Name: "fn"}, &out); err != nil {
				t.Fatal(err)
			}
			got := out.Revisions["fn-1"]
			if got.Phase != test.phase || got.Reason != test.reason || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %+v, want %s, reason %q, that says %q", got, test.phase, test.reason, test.says)
			}
		})
	}
	out := cluster.Status{Revisions: map[string]run.Status{"fn-1": deploying}, Made: map[string]bool{"fn-1": true}}
	if err := New(nil, nil, nil).troubled(t.Context(), &cluster.Service{Namespace: "a", Name: "fn"}, &out); err != nil || out.Revisions["fn-1"] != deploying {
		t.Errorf("without pods: %+v (%v)", out, err)
	}
}

// A pod template may hold what Knative's definition has no field for.
func TestFieldThatIsNotDeclared(t *testing.T) {
	said := errors.New("applying Service fn: failed to create typed patch object (ns/fn; serving.knative.dev/v1, Kind=Service): .spec.template.spec.terminationGracePeriodSeconds: field not declared in schema")
	var wrong *cluster.Refused
	if err := refused(said); !errors.As(err, &wrong) || wrong.Reason != "RefusedByKnative" || !errors.Is(err, said) {
		t.Errorf("it is %v", err)
	}
}
