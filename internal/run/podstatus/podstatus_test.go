package podstatus_test

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

var labels = map[string]string{"openfunction.io/serving": "fn-00001"}

func deployment(wanted, ready int32, conditions ...appsv1.DeploymentCondition) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "fn-00001", Generation: 3}}
	d.Spec = appsv1.DeploymentSpec{Replicas: &wanted, Selector: &metav1.LabelSelector{MatchLabels: labels}}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 3, ReadyReplicas: ready, Conditions: conditions}
	return d
}

func refused(message string) appsv1.DeploymentCondition {
	return appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: "True", Reason: "FailedCreate", Message: message}
}

func pod(name string, age time.Duration, status corev1.PodStatus) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: labels, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))}, Status: status}
	stripped, _ := podstatus.Strip(p)
	return stripped.(*corev1.Pod)
}

func container(name string, state corev1.ContainerState, restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, Image: "r.example.com/x", State: state, RestartCount: restarts}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func ended(code int32, reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}
}

func containers(all ...corev1.ContainerStatus) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: all}
}

var late = appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: "False", Reason: "ProgressDeadlineExceeded"}

func TestOf(t *testing.T) {
	looping := container("function", waiting("CrashLoopBackOff", "back-off"), 4)
	looping.LastTerminationState = ended(3, "Error", "no such module\n")
	unschedulable := corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: "False", Reason: "Unschedulable", Message: "0/3 nodes are available"}}}
	unobserved := deployment(1, 0, late)
	unobserved.Generation = 4
	for name, test := range map[string]struct {
		deployment *appsv1.Deployment
		pods       []client.Object
		proven     bool
		phase      run.Phase
		reason     string
		says       string
	}{
		"ready":                    {deployment: deployment(2, 2), phase: run.Ready},
		"at zero, proven":          {deployment: deployment(0, 0), proven: true, phase: run.Ready},
		"at zero":                  {deployment: deployment(0, 0), phase: run.Starting, reason: podstatus.ReasonScaledToZero},
		"from zero":                {deployment: deployment(1, 0), proven: true, phase: run.Ready},
		"starting":                 {deployment: deployment(1, 0), phase: run.Starting, reason: podstatus.ReasonPodsStarting},
		"the change is not seen":   {deployment: unobserved, phase: run.Starting, reason: "Deploying"},
		"too late":                 {deployment: deployment(1, 0, late), phase: run.Failed, reason: run.ReasonStartTimeout},
		"quota":                    {deployment: deployment(1, 0, refused(`pods "x" is forbidden: exceeded quota: small, requested: pods=1`)), phase: run.Failed, reason: podstatus.ReasonQuota, says: "exceeded quota: small"},
		"quota while it serves":    {deployment: deployment(3, 1, refused(`exceeded quota: small`)), phase: run.Ready, reason: podstatus.ReasonQuota, says: "small"},
		"limit range":              {deployment: deployment(1, 0, refused("maximum cpu usage per Container is 1, but limit is 2")), phase: run.Failed, reason: podstatus.ReasonLimit, says: "but limit is 2"},
		"pod security":             {deployment: deployment(1, 0, refused(`violates PodSecurity "restricted:latest": runAsNonRoot != true`)), phase: run.Failed, reason: podstatus.ReasonPodSecurity},
		"service account":          {deployment: deployment(1, 0, refused("error looking up service account a/robot: not found")), phase: run.Failed, reason: podstatus.ReasonAccount},
		"a webhook":                {deployment: deployment(1, 0, refused("admission webhook denied the request")), phase: run.Failed, reason: podstatus.ReasonRefused},
		"unschedulable":            {deployment: deployment(1, 0), pods: []client.Object{pod("p", 0, unschedulable)}, phase: run.Starting, reason: podstatus.ReasonUnschedulable, says: "0/3 nodes"},
		"unschedulable for good":   {deployment: deployment(1, 0, late), pods: []client.Object{pod("p", 0, unschedulable)}, phase: run.Failed, reason: podstatus.ReasonUnschedulable},
		"image":                    {deployment: deployment(1, 0), pods: []client.Object{pod("p", 0, containers(container("function", waiting("ImagePullBackOff", "not found"), 0)))}, phase: run.Failed, reason: podstatus.ReasonImagePull, says: "r.example.com/x"},
		"image from zero":          {deployment: deployment(1, 0), proven: true, pods: []client.Object{pod("p", 0, containers(container("function", waiting("ErrImagePull", ""), 0)))}, phase: run.Failed, reason: podstatus.ReasonImagePull, says: "ErrImagePull"},
		"secret":                   {deployment: deployment(1, 0), pods: []client.Object{pod("p", 0, containers(container("function", waiting("CreateContainerConfigError", `secret "s" not found`), 0)))}, phase: run.Failed, reason: podstatus.ReasonConfig, says: `secret "s"`},
		"crash loop":               {deployment: deployment(1, 0), pods: []client.Object{pod("p", 0, containers(looping))}, phase: run.Failed, reason: podstatus.ReasonCrashed, says: "code 3; it said last: no such module"},
		"memory":                   {deployment: deployment(1, 0), pods: []client.Object{pod("p", 0, containers(container("function", ended(137, "OOMKilled", ""), 1)))}, phase: run.Failed, reason: podstatus.ReasonOutOfMemory},
		"the function's own first": {deployment: deployment(1, 0), pods: []client.Object{pod("p", 0, containers(container("daprd", ended(1, "Error", ""), 1), container("function", ended(2, "Error", ""), 1)))}, phase: run.Failed, reason: podstatus.ReasonCrashed, says: "container function"},
		"an evicted one before":    {deployment: deployment(1, 0), pods: []client.Object{pod("old", time.Hour, corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}), pod("new", 0, containers(container("function", corev1.ContainerState{}, 0)))}, phase: run.Starting, reason: podstatus.ReasonPodsStarting},
		"the newest pod":           {deployment: deployment(1, 0), pods: []client.Object{pod("a", time.Hour, containers(looping)), pod("b", 0, unschedulable)}, phase: run.Starting, reason: podstatus.ReasonUnschedulable},
	} {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(test.pods...).Build()
			got, err := podstatus.Of(t.Context(), c, test.deployment, test.proven)
			if err != nil {
				t.Fatal(err)
			}
			if got.Phase != test.phase || got.Reason != test.reason || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %+v, want %s, reason %q, that says %q", got, test.phase, test.reason, test.says)
			}
			if got.Desired != int(*test.deployment.Spec.Replicas) || got.Ready != int(test.deployment.Status.ReadyReplicas) {
				t.Errorf("got %d of %d copies", got.Ready, got.Desired)
			}
		})
	}
}

func TestOfObject(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(pod("p", 0, containers(container("function", waiting("ImagePullBackOff", ""), 0)))).Build()
	one := int32(1)
	set := &appsv1.StatefulSet{TypeMeta: metav1.TypeMeta{Kind: "StatefulSet"}, ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "fn-00001"},
		Spec: appsv1.StatefulSetSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}}}
	deployed := deployment(1, 0)
	deployed.Kind = "Deployment"
	for _, o := range []client.Object{set, deployed} {
		u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := podstatus.OfObject(t.Context(), c, &unstructured.Unstructured{Object: u}, false)
		if err != nil || got.Reason != podstatus.ReasonImagePull {
			t.Errorf("%T: got %+v, %v", o, got, err)
		}
	}
	if _, err := podstatus.OfObject(t.Context(), c, &unstructured.Unstructured{Object: map[string]any{"kind": "Pod"}}, false); err == nil {
		t.Error("a Pod is taken for a Deployment")
	}
}
