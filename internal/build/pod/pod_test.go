package pod_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/pod"
)

func TestRequestHoldsNothingThatIsFilledIn(t *testing.T) {
	r := pod.Request{Image: "r/x", URL: "https://example.com/$(x)", Env: map[string]string{"A": "$(params.x) $HOME $$", "$B": "\n\t\"#="}}
	text, err := r.Encode()
	if err != nil || strings.Contains(text, "$") {
		t.Fatalf("got %s, %v", text, err)
	}
	back, err := pod.Decode(text)
	if err != nil || back.URL != r.URL || !maps.Equal(back.Env, r.Env) {
		t.Errorf("got %+v, %v", back, err)
	}
}

// A timeout below a second is one, too: as none at all it would let the build take as long as it likes.
func TestTimeoutOfRequest(t *testing.T) {
	for _, want := range []time.Duration{0, 50 * time.Millisecond, 90 * time.Second} {
		b := &v1beta2.Builder{}
		b.Spec.Image, b.Spec.SrcRepo = "r/x", &v1beta2.SourceRepo{}
		b.Spec.SrcRepo.URL = "https://example.com/x.git"
		if want > 0 {
			b.Spec.Timeout = &metav1.Duration{Duration: want}
		}
		c, err := pod.Options{Image: "builder"}.Container(b, pod.Part{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pod.Decode(c.Env[0].Value); err != nil || got.Timeout != want {
			t.Errorf("%v becomes %v (%v)", want, got.Timeout, err)
		}
	}
}

func TestRequestTooLarge(t *testing.T) {
	_, err := pod.Request{Image: "r/x", Env: map[string]string{"A": strings.Repeat("x", 130<<10)}}.Encode()
	if err == nil || !strings.Contains(err.Error(), "build.env") {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"", "{}", "[]", "nothing"} {
		if _, err := pod.Decode(text); err == nil {
			t.Errorf("%q is taken for a request", text)
		}
	}
}

func TestOutcomeFits(t *testing.T) {
	for name, o := range map[string]pod.Outcome{
		"short":     {Reason: "CompileFailed", Message: "hello.go:3: x"},
		"long":      {Reason: "CompileFailed", Message: "hello.go:3: first\n" + strings.Repeat("hello.go:4: another \"\n", 1000) + "last"},
		"not UTF-8": {Reason: "CompileFailed", Message: "hello.go:3: first" + strings.Repeat("\xff\x00é", 3000) + "last"},
		"functions": {Result: build.Result{Digest: "sha256:1", Functions: make([]build.Function, 200)}},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := o.Encode()
			if err != nil || len(data) > pod.MaxOutcome {
				t.Fatalf("%d bytes, %v", len(data), err)
			}
			back, ok := pod.ParseOutcome(string(data))
			if !ok || back.Reason != o.Reason || back.Result.Digest != o.Result.Digest {
				t.Errorf("got %+v, %v", back, ok)
			}
			if o.Reason != "" && !strings.HasPrefix(back.Message, "hello.go:3: ") {
				t.Errorf("the beginning is gone: %q", back.Message)
			}
			if name != "short" && o.Reason != "" && (!strings.HasSuffix(back.Message, "last") || len(back.Message) < 300) {
				t.Errorf("the end, or too much, is gone: %d bytes: %q", len(back.Message), back.Message)
			}
		})
	}
}

func FuzzOutcome(f *testing.F) {
	f.Add(`{"reason":"X","message":"m"}`)
	f.Add(`panic: no JSON`)
	f.Add(`{"result":{"Digest":"sha256:1"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, ok := pod.ParseOutcome(text)
		if !ok {
			return
		}
		p := o.Progress()
		if p.Stage == build.Running || p.Stage == build.Waiting || p.Stage == "" {
			t.Errorf("%q is no end: %+v", text, p)
		}
		o.Reason, o.Result = "R", build.Result{}
		if data, err := o.Encode(); err != nil || len(data) > pod.MaxOutcome {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	})
}

func TestEnded(t *testing.T) {
	ended := func(reason, message string, code int32) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{{Name: "build", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{Reason: reason, Message: message, ExitCode: code}}}}}
	}
	evicted := ended("", "", 137)
	evicted.Reason, evicted.Message = "Evicted", "the node was low on disk"
	for name, test := range map[string]struct {
		status       corev1.PodStatus
		ok           bool
		reason, says string
	}{
		"running":        {corev1.PodStatus{Phase: corev1.PodRunning}, false, "", ""},
		"told":           {ended("Error", `{"reason":"CompileFailed","message":"hello.go:3"}`, 1), true, "CompileFailed", "hello.go:3"},
		"memory":         {ended("OOMKilled", "", 137), true, "OutOfMemory", "memory"},
		"evicted":        {evicted, true, "Evicted", "low on disk"},
		"said nothing":   {ended("Error", "", 2), true, pod.ReasonError, "code 2"},
		"never started":  {corev1.PodStatus{Phase: corev1.PodFailed, Message: "node lost"}, true, pod.ReasonError, "node lost"},
		"another's text": {ended("Error", "some log", 1), true, pod.ReasonError, "kubectl logs"},
	} {
		t.Run(name, func(t *testing.T) {
			o, ok := pod.Ended(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: test.status})
			if ok != test.ok || o.Reason != test.reason || !strings.Contains(o.Message, test.says) {
				t.Errorf("got %+v, %v", o, ok)
			}
		})
	}
}

func TestTrouble(t *testing.T) {
	p := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: "False", Reason: "Unschedulable", Message: "no node has so much memory"}}}}
	if reason, message := pod.Trouble(p); reason != "Unschedulable" || !strings.Contains(message, "so much memory") {
		t.Errorf("got %s: %s", reason, message)
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}}
	p.Status.Conditions = nil
	if reason, message := pod.Trouble(p); reason != "" {
		t.Errorf("got %s: %s, although it only starts", reason, message)
	}
	p.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}
	if reason, message := pod.Trouble(p); reason != "ImagePullBackOff" || !strings.Contains(message, "no such image") {
		t.Errorf("got %s: %s", reason, message)
	}
}

// The pod must be one that the strictest profile of a namespace admits.
func TestRestricted(t *testing.T) {
	b := &v1beta2.Builder{}
	b.Spec.SrcRepo = &v1beta2.SourceRepo{URL: "https://example.com/x"}
	c, err := pod.Options{Image: "i", Env: []string{"HTTP_PROXY=http://$x"}}.Container(b, pod.Part{})
	if err != nil {
		t.Fatal(err)
	}
	s, p := c.SecurityContext, pod.Security()
	if *s.AllowPrivilegeEscalation || len(s.Capabilities.Add) > 0 || s.Capabilities.Drop[0] != "ALL" || !*p.RunAsNonRoot || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the container has %+v, the pod %+v", s, p)
	}
	if last := c.Env[len(c.Env)-1]; last.Value != "http://$$x" {
		t.Errorf("the proxy is %q", last.Value)
	}
	for _, v := range pod.Volumes(b) {
		if v.EmptyDir == nil && v.Secret == nil {
			t.Errorf("volume %s is of a kind that may be refused", v.Name)
		}
	}
}
