package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"github.com/spf13/pflag"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/function"
	"github.com/openfunction/ofn/internal/control/function/isolate"
	"github.com/openfunction/ofn/internal/run/podspec"
)

// podSettings say what the pods of functions may do.
type podSettings struct {
	security string
	policies string
	from     []string
}

func (s *podSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.security, "pod-security", v1beta2.PodSecurityAuto, "how far pods of functions are restricted where their template says nothing: auto (as far as the image is known not to mind), restricted or none")
	f.StringVar(&s.policies, "network-policies", v1beta2.NetworkPolicyOpen, "isolated: put the pods of every function behind a NetworkPolicy; open: only those that ask for it")
	f.StringSliceVar(&s.from, "network-policy-from", []string{"knative-serving", "kourier-system", "istio-system", "contour-external", "contour-internal", "keda", "dapr-system"},
		"namespaces from which isolated functions are called, beside the operator's own")
}

func (s *podSettings) validate() error {
	if err := podspec.Valid(s.security); err != nil {
		return fmt.Errorf("--pod-security: %w", err)
	}
	switch s.policies {
	case "", v1beta2.NetworkPolicyIsolated, v1beta2.NetworkPolicyOpen:
		return nil
	default:
		return fmt.Errorf("--network-policies is %q: it may be %s or %s", s.policies, v1beta2.NetworkPolicyIsolated, v1beta2.NetworkPolicyOpen)
	}
}

// isolation is the phase that makes NetworkPolicies. There is none on an API server that has no pods.
func isolation(m ctrl.Manager, s *operatorSettings) []function.Phase {
	kind := isolate.Kind().GroupVersionKind()
	if _, err := m.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version); meta.IsNoMatchError(err) {
		return nil
	}
	addresses := isolate.NewAddresses(m.GetAPIReader(), clock.RealClock{}, hostAddress(m.GetConfig().Host)...)
	return []function.Phase{isolate.New(m.GetClient(), isolate.Options{Default: s.pods.policies, From: append(append([]string(nil), s.pods.from...), s.ownNamespace),
		API: addresses.Find, Live: m.GetAPIReader()})}
}

// hostAddress is the address under which the operator itself calls the API, when it is not a name: in a pod that of its Service.
func hostAddress(host string) []netip.Addr {
	if u, err := url.Parse(host); err == nil && u.Host != "" {
		host = u.Hostname()
	} else if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.IsLoopback() {
		return nil
	}
	return []netip.Addr{addr}
}

// ofPolicies lets a cache hold only the NetworkPolicies of functions.
func ofPolicies(o *cache.Options) {
	o.ByObject[&networkingv1.NetworkPolicy{}] = cache.ByObject{Label: labels.SelectorFromSet(labels.Set{v1beta2.LabelManaged: "true"})}
}
