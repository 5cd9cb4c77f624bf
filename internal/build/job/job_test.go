package job_test

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/enginetest"
	"github.com/openfunction/ofn/internal/build/job"
	"github.com/openfunction/ofn/internal/build/pod"
)

func TestEngine(t *testing.T) {
	enginetest.Run(t, enginetest.Harness{
		New: func(c client.Client) enginetest.Engine {
			return job.New(c, c, pod.Options{Image: "builder.example.com/all:1"})
		},
		Child: func() *unstructured.Unstructured {
			u := &unstructured.Unstructured{}
			u.SetAPIVersion("batch/v1")
			u.SetKind("Job")
			return u
		},
		Play: play,
		Spoil: func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(u.Object, true, "spec", "suspend")
			_ = unstructured.SetNestedField(u.Object, int64(5), "spec", "activeDeadlineSeconds")
		},
		Spoilt: func(u *unstructured.Unstructured) bool {
			suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
			deadline, _, _ := unstructured.NestedInt64(u.Object, "spec", "activeDeadlineSeconds")
			return suspended || deadline == 5
		},
		Sees: sees,
	})
}

func read(t *testing.T, c client.Client, b *v1beta2.Builder) *batchv1.Job {
	t.Helper()
	j := &batchv1.Job{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(b), j); err != nil {
		t.Fatal(err)
	}
	return j
}

// play is the Job controller and the kubelet.
func play(t *testing.T, c client.Client, b *v1beta2.Builder, e enginetest.Event) {
	t.Helper()
	j := read(t, c, b)
	ended := func(kind batchv1.JobConditionType, reason string) {
		j.Status.Active = 0
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: "True", Reason: reason})
	}
	switch e {
	case enginetest.Starts:
		if j.UID == "" {
			j.UID = "uid-of-job-" + j.UID
			if err := c.Update(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		j.Status.Active = 1
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: j.Namespace, Name: j.Name + "-x", Labels: j.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(j, batchv1.SchemeGroupVersion.WithKind("Job"))}}, Spec: j.Spec.Template.Spec}
		if err := c.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	case enginetest.Succeeds:
		leave(t, c, j, 0, pod.Outcome{Result: build.Result{Digest: enginetest.Digest, Sources: []build.SourceResult{{Name: "default", CommitSHA: enginetest.Commit}}}})
		ended(batchv1.JobComplete, "")
	case enginetest.Fails:
		leave(t, c, j, 1, pod.Outcome{Reason: enginetest.Reason, Message: enginetest.Complaint})
		ended(batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
	case enginetest.TimesOut:
		ended(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)
	case enginetest.Stops:
		if j.Spec.Suspend == nil || !*j.Spec.Suspend {
			t.Error("nobody asked for the end")
		}
		j.Status.Active = 0
	}
	if err := c.Status().Update(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

// leave ends the pod of a Job with an outcome.
func leave(t *testing.T, c client.Client, j *batchv1.Job, code int32, o pod.Outcome) {
	t.Helper()
	data, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	end(t, c, j, corev1.ContainerStateTerminated{ExitCode: code, Message: string(data)})
}

func end(t *testing.T, c client.Client, j *batchv1.Job, how corev1.ContainerStateTerminated) {
	t.Helper()
	p := &corev1.Pod{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: j.Namespace, Name: j.Name + "-x"}, p); err != nil {
		t.Fatal(err)
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "build", State: corev1.ContainerState{Terminated: &how}}}
	if err := c.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func sees(t *testing.T, c client.Client, b *v1beta2.Builder) enginetest.Seen {
	t.Helper()
	spec := read(t, c, b).Spec.Template.Spec
	r, err := pod.Decode(spec.Containers[0].Env[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	out := enginetest.Seen{Env: r.Env, URL: r.URL, Revision: r.Revision, Bundle: r.Bundle, SubPath: r.SubPath, Image: r.Image}
	for _, v := range spec.Volumes {
		switch {
		case v.Secret == nil:
		case v.Name == "secret-source":
			out.SourceSecret = v.Secret.SecretName
		case v.Name == "secret-push":
			out.PushSecret = v.Secret.SecretName
		}
	}
	return out
}
