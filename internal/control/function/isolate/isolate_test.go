package isolate_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/function/isolate"
)

// cluster is a fake one. The client's own schemas do not have a NetworkPolicy as it is before there is any.
func cluster(t *testing.T) *fake.ClientBuilder {
	t.Helper()
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(s).WithTypeConverters(managedfields.NewDeducedTypeConverter())
}

func function(mode string) *v1beta2.Function {
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "fn", UID: "u"}}
	if mode != "" {
		fn.Annotations = map[string]string{v1beta2.AnnotationNetworkPolicy: mode}
	}
	fn.Spec.Serving = &v1beta2.FunctionServing{}
	return fn
}

func phase(c client.Client, byDefault string) *isolate.Phase {
	api := func(context.Context) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}, nil
	}
	return isolate.New(c, isolate.Options{Default: byDefault, From: []string{"keda", "knative-serving", "keda"}, API: api, Live: c})
}

func there(t *testing.T, c client.Client) *networkingv1.NetworkPolicy {
	t.Helper()
	n := &networkingv1.NetworkPolicy{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: "fn"}, n); err != nil {
		return nil
	}
	return n
}

func TestPolicy(t *testing.T) {
	c := cluster(t).Build()
	fn := function("isolated")
	if _, err := phase(c, "").Reconcile(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
	got := there(t, c)
	if got == nil || !metav1.IsControlledBy(got, fn) || got.Labels[v1beta2.LabelFunction] != "fn" {
		t.Fatalf("got %+v", got)
	}
	spec, err := yaml.Marshal(got.Spec)
	if err != nil {
		t.Fatal(err)
	}
	want := `egress:
- ports:
  - port: 53
    protocol: UDP
  - port: 53
    protocol: TCP
- to:
  - namespaceSelector: {}
  - ipBlock:
      cidr: 0.0.0.0/0
      except:
      - 10.96.0.1/32
      - 169.254.169.254/32
      - 192.0.2.7/32
  - ipBlock:
      cidr: ::/0
      except:
      - 2001:db8::7/128
      - fd00:ec2::254/128
ingress:
- from:
  - namespaceSelector:
      matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
        - keda
        - knative-serving
podSelector:
  matchLabels:
    openfunction.io/function: fn
policyTypes:
- Ingress
- Egress
`
	if string(spec) != want {
		t.Errorf("got\n%s\nwant\n%s", spec, want)
	}
	if d := condition.Get(fn.Status.Conditions, v1beta2.ConditionIsolated); d == nil || d.Status != "True" {
		t.Errorf("the condition is %+v", d)
	}
	version := got.ResourceVersion
	if _, err := phase(c, "").Reconcile(t.Context(), fn); err != nil || there(t, c).ResourceVersion != version {
		t.Errorf("it is written again although nothing changes (%v)", err)
	}
	got.Spec.Ingress = nil
	if err := c.Update(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	if _, err := phase(c, "").Reconcile(t.Context(), fn); err != nil || len(there(t, c).Spec.Ingress) != 1 {
		t.Errorf("what was changed by hand is not repaired (%v)", err)
	}
	if _, err := phase(c, "").Reconcile(t.Context(), function("open")); err != nil || there(t, c) != nil {
		t.Errorf("an open function still has a policy (%v)", err)
	}
}

func TestModes(t *testing.T) {
	other := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "fn"}}
	for name, test := range map[string]struct {
		mode, byDefault string
		there           []client.Object
		made            bool
		status          metav1.ConditionStatus // empty is none
		says            string
	}{
		"nothing said":          {},
		"by default":            {byDefault: "isolated", made: true, status: "True"},
		"open against it":       {mode: "open", byDefault: "isolated"},
		"not a word":            {mode: "closed", status: "False", says: `"closed"`},
		"the name is another's": {mode: "isolated", there: []client.Object{other}, status: "False", says: "does not belong"},
		"another's is not ours": {mode: "open", there: []client.Object{other}},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t).WithObjects(test.there...).Build()
			fn := function(test.mode)
			if _, err := phase(c, test.byDefault).Reconcile(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
			n := there(t, c)
			if made := n != nil && metav1.IsControlledBy(n, fn); made != test.made || len(test.there) > 0 && n == nil {
				t.Errorf("the policy is %+v", n)
			}
			d := condition.Get(fn.Status.Conditions, v1beta2.ConditionIsolated)
			if (d == nil) != (test.status == "") || d != nil && (d.Status != test.status || !strings.Contains(d.Message, test.says)) {
				t.Errorf("the condition is %+v", d)
			}
		})
	}
}

func TestAddressesUnknown(t *testing.T) {
	c := cluster(t).Build()
	wrong := errors.New("not now")
	p := isolate.New(c, isolate.Options{Live: c, API: func(context.Context) ([]netip.Addr, error) { return nil, wrong }})
	if _, err := p.Reconcile(t.Context(), function("isolated")); !errors.Is(err, wrong) || there(t, c) != nil {
		t.Errorf("without the API's addresses there is a policy all the same (%v)", err)
	}
}

func TestAddresses(t *testing.T) {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.7"}}, {Addresses: []string{"api.example.com"}}}}
	c := cluster(t).WithObjects(slice).Build()
	now := clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))
	a := isolate.NewAddresses(c, now, netip.MustParseAddr("10.96.0.1"))
	find := func(want string) {
		t.Helper()
		got, err := a.Find(t.Context())
		var text []string
		for _, each := range got {
			text = append(text, each.String())
		}
		if err != nil || strings.Join(text, " ") != want {
			t.Errorf("got %v (%v), want %s", text, err, want)
		}
	}
	find("10.96.0.1 192.0.2.7")
	slice.Endpoints[0].Addresses[0] = "192.0.2.8"
	if err := c.Update(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	find("10.96.0.1 192.0.2.7")
	now.SetTime(now.Now().Add(time.Minute))
	find("10.96.0.1 192.0.2.8")
	if err := c.Delete(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	now.SetTime(now.Now().Add(time.Minute))
	find("10.96.0.1") // an API server outside of the cluster may not tell
}
