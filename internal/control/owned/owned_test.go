package owned_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/owned"
)

func child(name string) *v1beta2.Serving {
	return &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

func children(names ...string) []*v1beta2.Serving {
	var out []*v1beta2.Serving
	for _, n := range names {
		out = append(out, child(n))
	}
	return out
}

func names(children []*v1beta2.Serving) []string {
	var out []string
	for _, c := range children {
		out = append(out, c.Name)
	}
	return out
}

func function() *v1beta2.Function {
	return &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", UID: "u1"}}
}

func TestNumber(t *testing.T) {
	for name, want := range map[string]int{"fn-00007": 7, "fn-100000": 100000, "a-b-00001": 1, "fn": 0, "fn-x": 0, "fn-": 0, "7": 7, "": 0, "fn-99999999999999999999": 0} {
		if got := owned.Number(name); got != want {
			t.Errorf("the number of %q is %d, want %d", name, got, want)
		}
	}
}

func TestNewest(t *testing.T) {
	in := children("fn-00002", "old", "fn-00010", "new", "fn-00001")
	in[3].CreationTimestamp = metav1.NewTime(time.Unix(2, 0))
	if got := names(owned.Newest(in)); !slices.Equal(got, []string{"fn-00010", "fn-00002", "fn-00001", "new", "old"}) {
		t.Errorf("order is %v", got)
	}
}

func TestNext(t *testing.T) {
	for _, test := range []struct {
		children, known []string
		want            string
	}{
		{nil, nil, "fn-00001"},
		{nil, []string{""}, "fn-00001"},
		{[]string{"fn-00001", "fn-00003"}, nil, "fn-00004"},
		{[]string{"fn-00001"}, []string{"fn-00005"}, "fn-00006"},
		{nil, []string{"fn-other-00005", "serving-abcde"}, "fn-00001"},
		{[]string{"fn-99999"}, nil, "fn-100000"},
	} {
		if got := owned.Next("fn", children(test.children...), test.known...); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

func TestHash(t *testing.T) {
	one, err := owned.Hash(map[string]string{"b": "1", "a": "2"}, "x")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if two, _ := owned.Hash(map[string]string{"a": "2", "b": "1"}, "x"); two != one {
			t.Fatal("the order of a map shows")
		}
	}
	if other, _ := owned.Hash(map[string]string{"b": "1", "a": "2"}, "y"); other == one {
		t.Error("another value, the same hash")
	}
	if apart, _ := owned.Hash("ab", "c"); apart == func() string { s, _ := owned.Hash("a", "bc"); return s }() {
		t.Error("where one part ends does not count")
	}
	if _, err := owned.Hash(make(chan int)); err == nil {
		t.Error("hashes what it cannot")
	}
}

func TestCreate(t *testing.T) {
	fn := function()
	fn.Annotations = map[string]string{"a": "b", owned.AnnotationHash: "forged"}
	c := controltest.New(t, child("fn-00002"))
	create := func(name string) (*v1beta2.Serving, bool) {
		t.Helper()
		s := &v1beta2.Serving{}
		made, err := owned.Create(context.Background(), c, fn, s, "fn", name, "h")
		if err != nil {
			t.Fatal(err)
		}
		return s, made
	}
	s, made := create("fn-00001")
	if !made || s.Name != "fn-00001" || !owned.By(fn, s) || s.Annotations[owned.AnnotationHash] != "h" || s.Annotations["a"] != "b" {
		t.Errorf("made %v: %+v", made, s)
	}
	if _, made := create("fn-00001"); made {
		t.Error("makes its own twice")
	}
	if s, made := create("fn-00002"); !made || s.Name != "fn-00003" {
		t.Errorf("made %v %s beside one of somebody else", made, s.Name)
	}
	c.Hidden[types.NamespacedName{Namespace: "ns", Name: "fn-00001"}] = true
	if _, made := create("fn-00001"); made {
		t.Error("makes another while the cache is behind")
	}
	c.Fail = func(string, client.Object) error { return errors.New("unplugged") }
	if _, err := owned.Create(context.Background(), c, fn, &v1beta2.Serving{}, "fn", "fn-00009", "h"); err == nil {
		t.Error("no error")
	}
}

func TestList(t *testing.T) {
	fn, other := function(), function()
	other.UID = "u0"
	mine := func(name string, of *v1beta2.Function) *v1beta2.Serving {
		s := child(name)
		s.Labels = map[string]string{v1beta2.LabelFunction: "fn"}
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(of, v1beta2.GroupVersion.WithKind("Function"))}
		s.Annotations = map[string]string{owned.AnnotationHash: "1"}
		return s
	}
	foreign := mine("serving-24567", fn) // OpenFunction's operator made it
	foreign.Annotations = nil
	going := mine("fn-00004", fn)
	going.Finalizers = []string{"a/b"}
	elsewhere := mine("fn-00005", fn)
	elsewhere.Namespace = "elsewhere"
	c := controltest.New(t, mine("fn-00001", fn), mine("fn-00002", fn), mine("fn-00003", other), going, elsewhere, foreign, child("fn-00006"))
	if err := c.Raw.Delete(context.Background(), going); err != nil {
		t.Fatal(err)
	}
	got, err := owned.List[*v1beta2.Serving](context.Background(), c, fn, &v1beta2.ServingList{})
	if err != nil || !slices.Equal(names(got), []string{"fn-00002", "fn-00001"}) {
		t.Errorf("children are %v, error %v", names(got), err)
	}
	if owned.Find(got, "fn-00001") != got[1] || owned.Find(got, "fn-00003") != nil {
		t.Error("finds another")
	}
}

func TestPrune(t *testing.T) {
	all := children("fn-00005", "fn-00004", "fn-00003", "fn-00002", "fn-00001")
	var objects []client.Object
	for _, c := range all[:4] { // the last is gone already
		objects = append(objects, c.DeepCopy())
	}
	c := controltest.New(t, objects...)
	prune := func(limit int32) error {
		return owned.Prune(context.Background(), c, all, limit, func(s *v1beta2.Serving) bool { return s.Name == "fn-00003" })
	}
	if err := prune(1); err != nil {
		t.Fatal(err)
	}
	var left v1beta2.ServingList
	if err := c.Raw.List(context.Background(), &left); err != nil || len(left.Items) != 2 || left.Items[0].Name != "fn-00003" || left.Items[1].Name != "fn-00005" {
		t.Errorf("left are %+v, error %v", left.Items, err)
	}
	c.Fail = func(string, client.Object) error { return errors.New("unplugged") }
	if err := prune(0); err == nil {
		t.Error("no error")
	}
}
