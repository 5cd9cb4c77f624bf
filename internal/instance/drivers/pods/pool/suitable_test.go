package pool

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
		}, true},
		"another user": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(0))}
		}, false},
		"capability": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}}}
		}, false},
		"limit": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("1Gi")}
		}, true},
		"guaranteed": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("1Gi"), "cpu": resource.MustParse("1")}
		}, false},
		"device": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{"example.com/gpu": resource.MustParse("1")}
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
			own := corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("50m"), "memory": resource.MustParse("64Mi")}}
			if err := suitable(&p, "function", own, true); (err == nil) != test.want {
				t.Errorf("suitable: %v, want %v", err, test.want)
			}
			if err := suitable(&p, "function", own, false); !empty(p.Containers[0].Resources) && err == nil {
				t.Error("resources are given on a cluster that cannot resize pods")
			}
		})
	}
}

func TestGrown(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		out := corev1.ResourceList{}
		for name, text := range map[corev1.ResourceName]string{"cpu": cpu, "memory": memory} {
			if text != "" {
				out[name] = resource.MustParse(text)
			}
		}
		return out
	}
	own := corev1.ResourceRequirements{Requests: list("50m", "64Mi")}
	for name, test := range map[string]struct {
		own, want        corev1.ResourceRequirements
		requests, limits corev1.ResourceList
		ok               bool
	}{
		"nothing wanted":     {own, corev1.ResourceRequirements{}, list("50m", "64Mi"), nil, true},
		"a request":          {own, corev1.ResourceRequirements{Requests: list("1", "")}, list("1", "64Mi"), nil, true},
		"a limit":            {own, corev1.ResourceRequirements{Limits: list("", "1Gi")}, list("50m", "1Gi"), list("", "1Gi"), true},
		"both":               {own, corev1.ResourceRequirements{Requests: list("1", "32Mi"), Limits: list("2", "1Gi")}, list("1", "32Mi"), list("2", "1Gi"), true},
		"guaranteed":         {own, corev1.ResourceRequirements{Limits: list("1", "1Gi")}, nil, nil, false},
		"best effort before": {corev1.ResourceRequirements{}, corev1.ResourceRequirements{Requests: list("1", "")}, nil, nil, false},
		"claims":             {own, corev1.ResourceRequirements{Claims: []corev1.ResourceClaim{{Name: "x"}}}, nil, nil, false},
	} {
		got, ok := grown(test.own, test.want)
		if ok != test.ok || ok && (!equality.Semantic.DeepEqual(got.Requests, test.requests) || !equality.Semantic.DeepEqual(got.Limits, test.limits)) {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
}
