package follow_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/function/follow"
)

// heads answers with one head, or an error, and remembers what it was asked.
type heads struct {
	head  string
	err   error
	asked []build.Source
}

func (h *heads) Head(_ context.Context, s build.Source) (string, error) {
	h.asked = append(h.asked, s)
	return h.head, h.err
}

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "fn"}}

// function follows its source each minute and was built from commit "old".
func function() *v1beta2.Function {
	return &v1beta2.Function{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn"},
		Spec: v1beta2.FunctionSpec{Build: &v1beta2.BuildTemplate{SrcRepo: &v1beta2.SourceRepo{URL: "https://git/repo", Revision: new("main"),
			PollInterval: &metav1.Duration{Duration: time.Minute}}}},
		Status: v1beta2.FunctionStatus{Build: &v1beta2.StageStatus{State: v1beta2.StateSucceeded},
			Sources: []v1beta2.SourceResult{{Name: "default", Git: &v1beta2.GitSourceResult{CommitSha: "old"}}}},
	}
}

func TestFollow(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1beta2.Function)
		head   string
		err    error
		again  time.Duration
		want   string // the rebuild annotation
	}{
		"a new commit":         {nil, "new", nil, time.Minute, "new"},
		"the same commit":      {nil, "old", nil, time.Minute, ""},
		"asked for already":    {func(f *v1beta2.Function) { f.Annotations = map[string]string{v1beta2.AnnotationRebuild: "new"} }, "new", nil, time.Minute, "new"},
		"a rebuild by hand":    {func(f *v1beta2.Function) { f.Annotations = map[string]string{v1beta2.AnnotationRebuild: "now"} }, "old", nil, time.Minute, "now"},
		"the source is away":   {nil, "", errors.New("no route to host"), time.Minute, ""},
		"the source refuses":   {nil, "", &build.Failure{Reason: "SourceNotFound"}, time.Minute, ""},
		"not followed":         {func(f *v1beta2.Function) { f.Spec.Build.SrcRepo.PollInterval = nil }, "new", nil, 0, ""},
		"zero":                 {func(f *v1beta2.Function) { f.Spec.Build.SrcRepo.PollInterval.Duration = 0 }, "new", nil, 0, ""},
		"no build":             {func(f *v1beta2.Function) { f.Spec.Build = nil }, "new", nil, 0, ""},
		"too often":            {func(f *v1beta2.Function) { f.Spec.Build.SrcRepo.PollInterval.Duration = time.Second }, "new", nil, 5 * time.Second, "new"},
		"building":             {func(f *v1beta2.Function) { f.Status.Build.State = v1beta2.StateBuilding }, "new", nil, time.Minute, ""},
		"not looked at yet":    {func(f *v1beta2.Function) { f.Status.Build = nil }, "new", nil, time.Minute, ""},
		"first build failed":   {func(f *v1beta2.Function) { f.Status.Build.State, f.Status.Sources = v1beta2.StateFailed, nil }, "new", nil, time.Minute, "new"},
		"first one cancelled":  {func(f *v1beta2.Function) { f.Status.Build.State, f.Status.Sources = v1beta2.StateCanceled, nil }, "new", nil, time.Minute, ""},
		"later one cancelled":  {func(f *v1beta2.Function) { f.Status.Build.State = v1beta2.StateCanceled }, "new", nil, time.Minute, "new"},
		"without a commit":     {func(f *v1beta2.Function) { f.Status.Sources = nil }, "new", nil, time.Minute, ""},
		"a secret is missing":  {func(f *v1beta2.Function) { f.Spec.Build.SrcRepo.Credentials = &corev1.LocalObjectReference{Name: "s"} }, "new", nil, time.Minute, ""},
		"the bundle is as was": {bundle, "old", nil, time.Minute, ""},
		"another bundle":       {bundle, "new", nil, time.Minute, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			fn := function()
			if test.change != nil {
				test.change(fn)
			}
			c := controltest.New(t, fn)
			k := follow.NewController(c, follow.Options{Heads: &heads{head: test.head, err: test.err}, Log: slog.New(slog.DiscardHandler)})
			for range 2 {
				result, err := k.Reconcile(context.Background(), request)
				if err != nil || result.RequeueAfter != test.again {
					t.Errorf("result %+v, error %v", result, err)
				}
			}
			got := controltest.Read(t, c.Raw, "ns", "fn", &v1beta2.Function{}).Annotations[v1beta2.AnnotationRebuild]
			if got != test.want {
				t.Errorf("rebuild is %q, want %q", got, test.want)
			}
			if c.Writes > 1 {
				t.Errorf("%d writes", c.Writes)
			}
		})
	}
}

func bundle(f *v1beta2.Function) {
	f.Spec.Build.SrcRepo.BundleContainer = &v1beta2.BundleContainer{Image: "registry/src"}
	f.Status.Sources = []v1beta2.SourceResult{{Name: "default", Bundle: &v1beta2.BundleSourceResult{Digest: "old"}}}
}

func TestAsks(t *testing.T) {
	fn := function()
	fn.Spec.Build.SrcRepo.Credentials = &corev1.LocalObjectReference{Name: "login"}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "login"}, Data: map[string][]byte{"token": []byte("t")}}
	h := &heads{head: "old"}
	if _, err := follow.NewController(controltest.New(t, fn, s), follow.Options{Heads: h, Log: slog.New(slog.DiscardHandler)}).Reconcile(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	if len(h.asked) != 1 || h.asked[0].URL != "https://git/repo" || h.asked[0].Revision != "main" || h.asked[0].Auth.Token != "t" {
		t.Errorf("asked %+v", h.asked)
	}
	if _, err := follow.NewController(controltest.New(t), follow.Options{Heads: h, Log: slog.New(slog.DiscardHandler)}).Reconcile(context.Background(), request); err != nil {
		t.Errorf("a function that is gone: %v", err)
	}
}

func TestIntervals(t *testing.T) {
	o := follow.Options{Heads: &heads{head: "old"}, Shortest: 5 * time.Minute, Spread: func(d time.Duration) time.Duration { return d + time.Second }, Log: slog.New(slog.DiscardHandler)}
	result, err := follow.NewController(controltest.New(t, function()), o).Reconcile(context.Background(), request)
	if err != nil || result.RequeueAfter != 5*time.Minute+time.Second {
		t.Errorf("asked again after %s (%v)", result.RequeueAfter, err)
	}
}
