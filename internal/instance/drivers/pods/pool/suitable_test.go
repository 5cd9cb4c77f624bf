package pool

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestSuitable(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.PodSpec, *corev1.Container)
		want   bool
	}{
		"as it is": {func(*corev1.PodSpec, *corev1.Container) {}, true},
		"defaults": {func(p *corev1.PodSpec, c *corev1.Container) {
			p.DNSPolicy, p.SchedulerName, p.SecurityContext, p.TerminationGracePeriodSeconds = "ClusterFirst", "default-scheduler", &corev1.PodSecurityContext{}, new(int64(30))
			c.ImagePullPolicy, c.TerminationMessagePath = "IfNotPresent", "/dev/termination-log"
		}, true},
		"restricted": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), AllowPrivilegeEscalation: new(false),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, SeccompProfile: &corev1.SeccompProfile{Type: "RuntimeDefault"}}
		}, true},
		"probe":         {func(_ *corev1.PodSpec, c *corev1.Container) { c.ReadinessProbe = &corev1.Probe{} }, true},
		"liveness":      {func(_ *corev1.PodSpec, c *corev1.Container) { c.LivenessProbe = &corev1.Probe{} }, false},
		"token":         {func(p *corev1.PodSpec, _ *corev1.Container) { p.AutomountServiceAccountToken = nil }, false},
		"account":       {func(p *corev1.PodSpec, _ *corev1.Container) { p.ServiceAccountName = "own" }, false},
		"two":           {func(p *corev1.PodSpec, _ *corev1.Container) { p.Containers = append(p.Containers, corev1.Container{}) }, false},
		"runtime class": {func(p *corev1.PodSpec, _ *corev1.Container) { p.RuntimeClassName = new("gvisor") }, false},
		"node":          {func(p *corev1.PodSpec, _ *corev1.Container) { p.NodeSelector = map[string]string{"a": "b"} }, false},
		"pull secret": {func(p *corev1.PodSpec, _ *corev1.Container) {
			p.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "x"}}
		}, false},
		"another user": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(0))}
		}, false},
		"capability": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}}}
		}, false},
		"limit": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("1Gi")}
		}, false},
		"secret":  {func(_ *corev1.PodSpec, c *corev1.Container) { c.EnvFrom = []corev1.EnvFromSource{{}} }, false},
		"command": {func(_ *corev1.PodSpec, c *corev1.Container) { c.Command = []string{"/other"} }, false},
		"value of": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{}}}
		}, false},
		"volume": {func(_ *corev1.PodSpec, c *corev1.Container) { c.VolumeMounts = []corev1.VolumeMount{{}} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := corev1.PodSpec{AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false), RestartPolicy: "Never",
				Containers: []corev1.Container{{Name: "function", Image: "x", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}, Env: []corev1.EnvVar{{Name: "A", Value: "b"}}}}}
			test.change(&p, &p.Containers[0])
			if err := suitable(&p, "function"); (err == nil) != test.want {
				t.Errorf("suitable: %v, want %v", err, test.want)
			}
		})
	}
}
