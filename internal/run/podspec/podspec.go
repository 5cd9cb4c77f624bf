// Package podspec gives the pods of functions what the platform gives every pod on a cluster, where their template says nothing: less
// rights than Kubernetes gives by itself. It sets nothing at the level of the pod that Knative refuses.
package podspec

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Options say what is known of a revision.
type Options struct {
	// Security is one of the PodSecurity constants of the API; empty is auto.
	Security string
	// Nonroot is whether the image is known to run as a user by number that is not root.
	Nonroot bool
	// Token is whether its containers may use the service account of the namespace, although the template names none.
	Token bool
}

// Valid says whether a word is one of the PodSecurity constants.
func Valid(security string) error {
	switch security {
	case "", v1beta2.PodSecurityAuto, v1beta2.PodSecurityRestricted, v1beta2.PodSecurityNone:
		return nil
	default:
		return fmt.Errorf("%q is no way to restrict pods: give %s, %s or %s", security, v1beta2.PodSecurityAuto, v1beta2.PodSecurityRestricted, v1beta2.PodSecurityNone)
	}
}

// Complete changes a template in place. What it says stays.
//
// Every container gets the seccomp profile of the runtime, under which images run elsewhere, too. The rest of the pod security
// profile "restricted" (no root, no capabilities, no gain of privileges) some images would not survive: those get it that are known
// to, or that are asked to.
func Complete(pod *corev1.PodSpec, o Options) {
	if !o.Token && pod.AutomountServiceAccountToken == nil && pod.ServiceAccountName == "" {
		pod.AutomountServiceAccountToken = new(false)
	}
	windows := pod.OS != nil && pod.OS.Name == corev1.Windows
	if o.Security == v1beta2.PodSecurityNone || windows {
		return
	}
	said := pod.SecurityContext
	if said == nil {
		said = &corev1.PodSecurityContext{}
	}
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range list {
			c := &list[i]
			if c.SecurityContext == nil {
				c.SecurityContext = &corev1.SecurityContext{}
			}
			seccomp(c.SecurityContext, said)
			own := o.Nonroot && c.Name == v1beta2.FunctionContainer
			if own || o.Security == v1beta2.PodSecurityRestricted {
				restrict(c.SecurityContext, said)
			}
			if *c.SecurityContext == (corev1.SecurityContext{}) {
				c.SecurityContext = nil
			}
		}
	}
}

func seccomp(c *corev1.SecurityContext, pod *corev1.PodSecurityContext) {
	privileged := c.Privileged != nil && *c.Privileged
	if c.SeccompProfile == nil && pod.SeccompProfile == nil && !privileged {
		c.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
}

// restrict is the rest of the profile. A container that is given privileges, capabilities or root by its template keeps them.
func restrict(c *corev1.SecurityContext, pod *corev1.PodSecurityContext) {
	if c.Privileged != nil && *c.Privileged {
		return
	}
	if c.Capabilities == nil {
		c.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
	}
	if c.AllowPrivilegeEscalation == nil && len(c.Capabilities.Add) == 0 {
		c.AllowPrivilegeEscalation = new(false)
	}
	if c.RunAsNonRoot == nil && pod.RunAsNonRoot == nil && !root(c.RunAsUser) && !(c.RunAsUser == nil && root(pod.RunAsUser)) {
		c.RunAsNonRoot = new(true)
	}
}

func root(user *int64) bool { return user != nil && *user == 0 }
