package run

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/internal/run"
)

// probes translates the three probes of the user's container. What they leave out the runner fills in as Kubernetes does.
func probes(out *run.Container, user *corev1.Container, port int) error {
	for _, p := range []struct {
		kind string
		said *corev1.Probe
		to   **run.Probe
	}{{"readinessProbe", user.ReadinessProbe, &out.Probe}, {"livenessProbe", user.LivenessProbe, &out.Liveness}, {"startupProbe", user.StartupProbe, &out.Startup}} {
		if p.said == nil {
			continue
		}
		made, err := probe(p.kind, p.said, user.Ports, port)
		if err != nil {
			return err
		}
		*p.to = made
	}
	return nil
}

func probe(kind string, p *corev1.Probe, ports []corev1.ContainerPort, port int) (*run.Probe, error) {
	out := &run.Probe{InitialDelay: seconds(p.InitialDelaySeconds), Period: seconds(p.PeriodSeconds), Timeout: seconds(p.TimeoutSeconds),
		FailureThreshold: int(p.FailureThreshold), SuccessThreshold: int(p.SuccessThreshold)}
	if g := p.TerminationGracePeriodSeconds; g != nil {
		out.Grace = max(time.Duration(*g)*time.Second, time.Millisecond) // 0 is "at once", not the revision's
	}
	if out.SuccessThreshold > 1 && kind != "readinessProbe" {
		return nil, unsupported("%s.successThreshold is %d: only a readinessProbe may want more than one success", kind, out.SuccessThreshold)
	}
	var at intOrName
	switch {
	case p.HTTPGet != nil:
		if p.HTTPGet.Host != "" {
			return nil, unsupported("%s.httpGet.host is not supported: a copy is asked itself; to send another Host, set it in httpHeaders", kind)
		}
		out.HTTPPath, out.HTTPHeaders, out.HTTPS = p.HTTPGet.Path, map[string]string{}, p.HTTPGet.Scheme == corev1.URISchemeHTTPS
		if out.HTTPPath == "" {
			out.HTTPPath = "/"
		}
		for _, h := range p.HTTPGet.HTTPHeaders {
			out.HTTPHeaders[h.Name] = h.Value
		}
		at = intOrName{p.HTTPGet.Port.IntValue(), p.HTTPGet.Port.StrVal}
	case p.GRPC != nil:
		out.GRPC, at.number = true, int(p.GRPC.Port)
		if p.GRPC.Service != nil {
			out.GRPCService = *p.GRPC.Service
		}
	case p.Exec != nil:
		if len(p.Exec.Command) == 0 {
			return nil, unsupported("%s.exec.command is empty: give the command to run", kind)
		}
		out.Exec = p.Exec.Command
		return out, nil
	case p.TCPSocket != nil:
		if p.TCPSocket.Host != "" {
			return nil, unsupported("%s.tcpSocket.host is not supported: a copy is asked itself", kind)
		}
		at = intOrName{p.TCPSocket.Port.IntValue(), p.TCPSocket.Port.StrVal}
	}
	out.Port = at.resolve(ports, port)
	if out.Port < 0 || out.Port > 65535 {
		return nil, unsupported("%s has port %d: choose one from 1 to 65535", kind, out.Port)
	}
	return out, nil
}

// intOrName is a port as a probe names it.
type intOrName struct {
	number int
	name   string
}

// resolve finds the port; 0 is the serving one, which a name that no port has is taken for.
func (n intOrName) resolve(ports []corev1.ContainerPort, serving int) int {
	at := n.number
	for _, p := range ports {
		if at == 0 && n.name != "" && p.Name == n.name {
			at = int(p.ContainerPort)
		}
	}
	if at == serving {
		return 0
	}
	return at
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
