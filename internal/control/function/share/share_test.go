package share_test

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/function/share"
	"github.com/openfunction/ofn/internal/control/owned"
)

// step stands for building and serving: it remembers what it was given.
type step struct{ served map[string]map[string]string } // params by function

func (s *step) Reconcile(_ context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	if s.served == nil {
		s.served = map[string]map[string]string{}
	}
	s.served[fn.Name] = fn.Spec.Serving.Params
	return reconcile.Result{}, nil
}

func (s *step) Gone(context.Context, string, string) error { return nil }

// app is a function of an application that is built from source.
func app(name string, age time.Duration, change func(*v1beta2.Function)) *v1beta2.Function {
	fn := &v1beta2.Function{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Generation: 1,
			CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(-age)), Annotations: map[string]string{v1beta2.AnnotationShare: "shop"}},
		Spec: v1beta2.FunctionSpec{
			Image:   "registry/" + name,
			Build:   &v1beta2.BuildTemplate{Env: map[string]string{"FUNC_NAME": name}, SrcRepo: &v1beta2.SourceRepo{BundleContainer: &v1beta2.BundleContainer{Image: "registry/src/" + name + "@sha256:1"}}},
			Serving: &v1beta2.FunctionServing{ServingTemplate: v1beta2.ServingTemplate{Triggers: &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{}}}},
		},
	}
	if change != nil {
		change(fn)
	}
	return fn
}

// ready makes fn what a leader is whose application has the functions.
func ready(fn *v1beta2.Function) *v1beta2.Function {
	fn.Status.Build = &v1beta2.StageStatus{State: v1beta2.StateSucceeded, LastSuccessfulResourceRef: "build"}
	fn.Status.Serving = &v1beta2.StageStatus{State: v1beta2.StateRunning}
	fn.Status.LatestReadyRevision = fn.Name + "-00001"
	fn.Status.Traffic = []v1beta2.TrafficStatus{{RevisionName: fn.Name + "-00001", Percent: 100, Tag: "t"}}
	condition.Set(&fn.Status.Conditions, 1, v1beta2.ConditionBuilt, "True", "BuildSucceeded", "")
	condition.Set(&fn.Status.Conditions, 1, v1beta2.ConditionServed, "True", "RevisionReady", "")
	return fn
}

func built(functions ...v1beta2.BuiltFunction) *v1beta2.Builder {
	return &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "build"},
		Status: v1beta2.BuilderStatus{Output: &v1beta2.BuilderOutput{Functions: functions}}}
}

func own(fn *v1beta2.Function, name string) *v1beta2.Serving {
	return &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{v1beta2.LabelFunction: fn.Name}, Annotations: map[string]string{owned.AnnotationHash: "1"},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(fn, v1beta2.GroupVersion.WithKind("Function"))}}}
}

func TestMembers(t *testing.T) {
	shop := []v1beta2.BuiltFunction{{Name: "show", Path: "/show"}, {Name: "sell", Path: "/sell"}, {Name: "item", Path: "/items/{id}"}}
	for name, c := range map[string]struct {
		member         func(*v1beta2.Function)
		leader         func(*v1beta2.Function)
		alone          bool
		path, why      string
		status, reason string
	}{
		"agrees":           {path: "/sell", status: "True", reason: "Shares"},
		"another function": {member: func(f *v1beta2.Function) { f.Spec.Serving.Params = map[string]string{"FUNCTION_TARGET": "show"} }, path: "/show", status: "True", reason: "Shares"},
		"a path of its own": {member: func(f *v1beta2.Function) { f.Annotations[v1beta2.AnnotationSharePath] = "/items/7" },
			path: "/items/7", status: "True", reason: "Shares"},
		"another version and host": {member: func(f *v1beta2.Function) {
			f.Spec.Version = new("v7")
			f.Spec.Serving.Triggers.HTTP.Route = &v1beta2.Route{Hostnames: []v1beta2.Hostname{"x.example"}}
		}, path: "/sell", status: "True", reason: "Shares"},
		"other params": {member: func(f *v1beta2.Function) { f.Spec.Serving.Params = map[string]string{"A": "b"} },
			alone: true, why: "spec.serving.params", status: "False", reason: "Differs"},
		"other source": {member: func(f *v1beta2.Function) { f.Spec.Build.SrcRepo.BundleContainer.Image = "registry/src@sha256:2" },
			alone: true, why: "spec.build.srcRepo.bundleContainer.image", status: "False", reason: "Differs"},
		"unknown function": {member: func(f *v1beta2.Function) { f.Spec.Build.Env["FUNC_NAME"] = "steal" },
			alone: true, why: "no function steal; it has show, sell, item", status: "False", reason: "FunctionUnknown"},
		"path with variables": {member: func(f *v1beta2.Function) { f.Spec.Build.Env["FUNC_NAME"] = "item" },
			alone: true, why: "variables", status: "False", reason: "FunctionUnknown"},
		"leader not built": {leader: func(f *v1beta2.Function) { f.Status = v1beta2.FunctionStatus{} }, status: "Unknown", reason: "WaitingForLeader"},
		"no group":         {member: func(f *v1beta2.Function) { f.Annotations = nil }, alone: true},
		"another group":    {member: func(f *v1beta2.Function) { f.Annotations[v1beta2.AnnotationShare] = "bar" }, alone: true, status: "True", reason: "Leads"},
	} {
		t.Run(name, func(t *testing.T) {
			leader, member := ready(app("show", time.Hour, nil)), app("sell", 0, c.member)
			if c.leader != nil {
				c.leader(leader)
			}
			s := &step{}
			p := share.New(controltest.New(t, leader, member, built(shop...)), s)
			if _, err := p.Reconcile(t.Context(), member); err != nil {
				t.Fatal(err)
			}
			if _, served := s.served["sell"]; served != c.alone {
				t.Errorf("served by itself: %v", served)
			}
			got := condition.Get(member.Status.Conditions, v1beta2.ConditionShared)
			if c.status == "" && got != nil || c.status != "" && (got == nil || string(got.Status) != c.status || got.Reason != c.reason || !strings.Contains(got.Message, c.why)) {
				t.Errorf("Shared is %+v", got)
			}
			if c.path == "" {
				if sh := member.Status.Shared; sh != nil && sh.Leader != member.Name {
					t.Errorf("shared: %+v", sh)
				}
				return
			}
			st := member.Status
			if st.Shared == nil || st.Shared.Leader != "show" || st.Shared.Path != c.path || len(st.Traffic) != 1 || st.Traffic[0].RevisionName != "show-00001" ||
				st.Traffic[0].Tag != "" || st.LatestReadyRevision != "show-00001" || condition.Get(st.Conditions, v1beta2.ConditionServed).Status != "True" {
				t.Errorf("status is %+v", st)
			}
		})
	}
}

func TestLeader(t *testing.T) {
	leader, member := ready(app("show", time.Hour, nil)), app("sell", 0, nil)
	member.Status.Shared = &v1beta2.SharedStatus{Leader: "show"}
	s := &step{}
	p := share.New(controltest.New(t, leader, member, built(v1beta2.BuiltFunction{Name: "show", Path: "/show"})), s)
	if _, err := p.Reconcile(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	params := s.served["show"]
	if target, given := params["FUNCTION_TARGET"]; target != "" || !given {
		t.Errorf("the application is served with %v", params)
	}
	if leader.Spec.Serving.Params != nil {
		t.Error("the specification was changed")
	}
	if sh := leader.Status.Shared; sh == nil || sh.Path != "/show" || len(sh.Members) != 1 || sh.Members[0] != "sell" {
		t.Errorf("shared: %+v", sh)
	}
}

// What a member had of its own serves until the route leads to the leader's copies, and goes then.
func TestJoining(t *testing.T) {
	leader, member := ready(app("show", time.Hour, nil)), ready(app("sell", 0, nil))
	c := controltest.New(t, leader, member, built(v1beta2.BuiltFunction{Name: "sell", Path: "/sell"}), own(member, "sell-00001"))
	p := share.New(c, &step{})
	there := func() bool {
		return c.Raw.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "sell-00001"}, &v1beta2.Serving{}) == nil
	}
	if _, err := p.Reconcile(t.Context(), member); err != nil || !there() {
		t.Fatalf("its revision went before the route did: %v", err)
	}
	condition.Set(&member.Status.Conditions, 1, v1beta2.ConditionRouted, "True", "Routed", "")
	if _, err := p.Reconcile(t.Context(), member); err != nil || there() {
		t.Fatalf("its revision is still there: %v", err)
	}
}

// The next in age leads when the leader is gone, with nothing of the old one's.
func TestSuccession(t *testing.T) {
	member := app("sell", 0, nil)
	member.Status = ready(app("show", time.Hour, nil)).Status
	member.Status.Shared = &v1beta2.SharedStatus{Leader: "show", Path: "/sell"}
	s := &step{}
	if _, err := share.New(controltest.New(t, member), s).Reconcile(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	st := member.Status
	if _, serves := s.served["sell"]; !serves || st.Shared.Leader != "sell" || st.LatestReadyRevision != "" || st.Traffic != nil {
		t.Errorf("status is %+v", st)
	}
}
