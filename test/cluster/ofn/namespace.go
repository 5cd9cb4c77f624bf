package ofncluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Namespace is where one test works. Whatever fails ends the test.
type Namespace struct {
	T    testing.TB
	Name string
}

// New makes a namespace that goes with the test. When the test has failed, the state of the namespace is in its log.
func New(t testing.TB, name string) *Namespace {
	t.Helper()
	if suite.skip != "" {
		t.Skip(suite.skip)
	}
	n := &Namespace{T: t, Name: name}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if *keep { // that of a test which failed
		_ = suite.typed.CoreV1().Namespaces().Delete(t.Context(), name, metav1.DeleteOptions{})
	}
	n.Eventually("the namespace is made", func() error { // one of a run before it may still be ending
		_, err := suite.typed.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
		return err
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), *patience)
		defer cancel()
		if t.Failed() {
			t.Logf("%s", Dump(ctx, name))
			t.Logf("%s", Dump(ctx, System))
		}
		if t.Failed() && *keep {
			return
		}
		if err := suite.typed.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("deleting the namespace: %v", err)
		}
	})
	n.Eventually("pods have an account", func() error {
		_, err := suite.typed.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return n
}

// Kubectl runs kubectl in the namespace and returns what it printed.
func (n *Namespace) Kubectl(args ...string) string {
	n.T.Helper()
	out, err := kubectl(n.T.Context(), nil, append([]string{"-n", n.Name}, args...)...)
	if err != nil {
		n.T.Fatal(err)
	}
	return out
}

// Apply applies manifests as a user does.
func (n *Namespace) Apply(manifests string) {
	n.T.Helper()
	if err := n.TryApply(manifests); err != nil {
		n.T.Fatal(err)
	}
}

// TryApply is Apply of what may be refused.
func (n *Namespace) TryApply(manifests string) error {
	_, err := kubectl(n.T.Context(), []byte(manifests), "-n", n.Name, "apply", "-f", "-")
	return err
}

// Object reads "KIND/NAME", such as "function/hello" or "deployments.apps/hello"; it is nil when there is none.
func (n *Namespace) Object(which string) *unstructured.Unstructured {
	n.T.Helper()
	o, err := n.object(which)
	if err != nil && !apierrors.IsNotFound(err) {
		n.T.Fatal(err)
	}
	return o
}

func (n *Namespace) object(which string) (*unstructured.Unstructured, error) {
	kind, name, _ := strings.Cut(which, "/")
	client, err := n.client(kind)
	if err != nil {
		return nil, err
	}
	o, err := client.Get(n.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Objects lists a kind, with a label selector that may be empty.
func (n *Namespace) Objects(kind, selector string) []unstructured.Unstructured {
	n.T.Helper()
	client, err := n.client(kind)
	if err != nil {
		n.T.Fatal(err)
	}
	list, err := client.List(n.T.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		n.T.Fatal(err)
	}
	return list.Items
}

// client reads objects of a kind, of the namespace where they have one.
func (n *Namespace) client(kind string) (dynamic.ResourceInterface, error) {
	gvr, err := resource(kind)
	if err != nil {
		return nil, err
	}
	gvk, err := suite.mapper.KindFor(gvr)
	if err != nil {
		return nil, err
	}
	mapping, err := suite.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return suite.dynamic.Resource(gvr), nil
	}
	return suite.dynamic.Resource(gvr).Namespace(n.Name), nil
}

// Ready waits until the condition Ready is true, for the generation that the object has.
func (n *Namespace) Ready(which string) *unstructured.Unstructured {
	n.T.Helper()
	return n.Condition(which, "Ready", "True", "")
}

// Condition waits until an object has a condition with this status and, unless it is empty, reason, for the generation that it has.
func (n *Namespace) Condition(which, kind, status, reason string) *unstructured.Unstructured {
	n.T.Helper()
	var o *unstructured.Unstructured
	n.Eventually(strings.TrimSpace(fmt.Sprintf("%s is %s=%s %s", which, kind, status, reason)), func() (err error) {
		if o, err = n.object(which); err != nil {
			return err
		}
		return hasCondition(o, kind, status, reason)
	})
	return o
}

func hasCondition(o *unstructured.Unstructured, kind, status, reason string) error {
	if seen, found, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); found && seen != o.GetGeneration() {
		return fmt.Errorf("its generation is %d, its status of %d", o.GetGeneration(), seen)
	}
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range all {
		c, _ := c.(map[string]any)
		if c["type"] != kind {
			continue
		}
		if c["status"] == status && (reason == "" || c["reason"] == reason) {
			return nil
		}
		return fmt.Errorf("it is %v, %v: %v", c["status"], c["reason"], c["message"])
	}
	return fmt.Errorf("it has no condition %s", kind)
}

// Gone waits until an object is not there.
func (n *Namespace) Gone(which string) {
	n.T.Helper()
	n.Eventually(which+" is gone", func() error {
		_, err := n.object(which)
		if err == nil {
			return errors.New("it is there")
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// Zero waits until no pod that the selector means is left, those that are ending included.
func (n *Namespace) Zero(selector string) {
	n.T.Helper()
	n.Eventually("no pod of "+selector, func() error {
		if pods := n.Objects("pods", selector); len(pods) > 0 {
			return fmt.Errorf("there is %s", pods[0].GetName())
		}
		return nil
	})
}

// Eventually asks ten times a second until try returns nil; after -patience the test ends with its last words.
func (n *Namespace) Eventually(what string, try func() error) {
	n.T.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(*patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			n.T.Fatalf("after %s still not: %s: %v", *patience, what, err)
		}
		select {
		case <-tick.C:
		case <-n.T.Context().Done():
			n.T.Fatalf("the test ended before: %s: %v", what, err)
		}
	}
}

// resource finds a kind by any of its names: function, fn, functions.core.openfunction.io.
func resource(kind string) (schema.GroupVersionResource, error) {
	_, gr := schema.ParseResourceArg(kind)
	if gr.Resource == "" {
		gr = schema.ParseGroupResource(kind)
	}
	gvr, err := suite.mapper.ResourceFor(gr.WithVersion(""))
	if err != nil { // made since it was asked
		suite.mapper.Reset()
		gvr, err = suite.mapper.ResourceFor(gr.WithVersion(""))
	}
	if err != nil {
		return gvr, fmt.Errorf("no kind %q on the cluster: %w", kind, err)
	}
	return gvr, nil
}
