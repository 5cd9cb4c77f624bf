package isolate

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// metadata are the addresses at which clouds give credentials of the node to whoever asks.
var metadata = [...]string{"169.254.169.254", "fd00:ec2::254"}

// named is a policy with nothing but its name and owner.
func named(fn *v1beta2.Function) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: fn.Namespace, Name: fn.Name,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(fn, v1beta2.GroupVersion.WithKind("Function"))}}}
}

// policy lets requests come from namespaces, and the pods reach names, other pods, and everything else but some addresses.
func policy(fn *v1beta2.Function, from []string, api []netip.Addr) *networkingv1.NetworkPolicy {
	n := named(fn)
	n.Labels = map[string]string{v1beta2.LabelManaged: "true", v1beta2.LabelFunction: fn.Name}
	n.Spec = networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{v1beta2.LabelFunction: fn.Name}},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
	}
	n.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: unique(from)}}}}}}}
	except := map[bool][]string{true: {}, false: {}} // by whether it is version 4
	for _, a := range metadata {
		api = append(api, netip.MustParseAddr(a))
	}
	for _, a := range api {
		a = a.Unmap()
		except[a.Is4()] = append(except[a.Is4()], netip.PrefixFrom(a, a.BitLen()).String())
	}
	n.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{
		// Names are asked for wherever the cluster has its servers for that, such as an address of the node's own.
		{Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP), port(corev1.ProtocolTCP)}},
		{To: []networkingv1.NetworkPolicyPeer{
			{NamespaceSelector: &metav1.LabelSelector{}}, // some networks do not count pods among addresses
			{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: unique(except[true])}},
			{IPBlock: &networkingv1.IPBlock{CIDR: "::/0", Except: unique(except[false])}},
		}},
	}
	return n
}

func port(p corev1.Protocol) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: &p, Port: new(intstr.FromInt32(53))}
}

// unique is a list in an order that does not change.
func unique(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
