package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/openfunction/ofn/test/cluster/internal/pki"
)

// writeFiles writes every certificate, kubeconfig and configuration file the components read.
func writeFiles(d Dir) error {
	for _, sub := range []string{"pki", "cni", "manifests", "kubelet", "containerd", filepath.Join("registries", Registry)} {
		if err := os.MkdirAll(d.state(sub), 0o755); err != nil {
			return err
		}
	}
	if err := writeCertificates(d); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	version, err := exec.Command("containerd", "--version").Output()
	if err != nil {
		return fmt.Errorf("asking containerd for its version: %w", err)
	}
	runtime := containerdOne
	if strings.Contains(string(version), " v2.") || strings.Contains(string(version), " 2.") {
		runtime = containerdTwo
	}
	values := map[string]string{
		"State": d.state(), "Socket": d.socket(), "Pause": PauseImage, "CNI": cniPlugins, "PodNet": podNet,
		"IP": IP, "Name": Name, "Cgroup": d.cgroup(), "Registry": Registry,
	}
	for file, text := range map[string]string{
		"containerd.toml": runtime, "cni/10-bridge.conflist": cniConfig, "kubelet.yaml": kubeletConfig, "kube-proxy.yaml": proxyConfig,
		"resolv.conf": "nameserver 127.0.0.53\n", "registries/" + Registry + "/hosts.toml": registryConfig,
	} {
		var b strings.Builder
		if err := template.Must(template.New(file).Parse(text)).Execute(&b, values); err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
		if err := os.WriteFile(d.state(filepath.FromSlash(file)), []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func writeCertificates(d Dir) error {
	ca, err := pki.New(d.state("pki"))
	if err != nil {
		return err
	}
	service := "kubernetes.default.svc.cluster.local"
	for name, s := range map[string]pki.Subject{
		"apiserver": {User: "kube-apiserver", IPs: []string{"127.0.0.1", IP, apiService},
			Names: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", service}},
		"kubelet":        {User: Name, Names: []string{Name}, IPs: []string{IP, "127.0.0.1"}},
		"kubelet-client": {User: "kube-apiserver", Groups: []string{"system:masters"}},
		"front-proxy":    {User: "front-proxy"},
	} {
		if err := ca.Issue(name, s); err != nil {
			return err
		}
	}
	if err := ca.SigningKey("tokens"); err != nil {
		return err
	}
	for name, s := range map[string]pki.Subject{
		"admin":                   {User: "admin", Groups: []string{"system:masters"}},
		"kube-controller-manager": {User: "system:kube-controller-manager"},
		"kube-scheduler":          {User: "system:kube-scheduler"},
		"kube-proxy":              {User: "system:kube-proxy"},
		"node":                    {User: "system:node:" + Name, Groups: []string{"system:nodes"}},
	} {
		if err := ca.Kubeconfig(d.state(name+".kubeconfig"), apiServer, s); err != nil {
			return err
		}
	}
	return nil
}

const containerdOne = `version = 2
root = "{{.State}}/containerd"
state = "/run/containerd/state"
[grpc]
  address = "{{.Socket}}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{{.Pause}}"
  restrict_oom_score_adj = true # raising a score is all that a process without CAP_SYS_RESOURCE may do
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{{.CNI}}"
    conf_dir = "{{.State}}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{{.State}}/registries"
`

const containerdTwo = `version = 3
root = "{{.State}}/containerd"
state = "/run/containerd/state"
[grpc]
  address = "{{.Socket}}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{{.Pause}}"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "{{.State}}/registries"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true # raising a score is all that a process without CAP_SYS_RESOURCE may do
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{{.CNI}}"]
    conf_dir = "{{.State}}/cni"
`

// registryConfig lets tests run a registry without TLS at the node's address.
const registryConfig = `server = "http://{{.Registry}}"
[host."http://{{.Registry}}"]
  capabilities = ["pull", "resolve"]
`

const cniConfig = `{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "{{.PodNet}}"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://{{.Socket}}
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /{{.Cgroup}}
oomScoreAdj: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "{{.State}}/pki/ca.crt"}}
authorization: {mode: Webhook}
tlsCertFile: "{{.State}}/pki/kubelet.crt"
tlsPrivateKeyFile: "{{.State}}/pki/kubelet.key"
clusterDomain: cluster.local
clusterDNS: ["{{.IP}}"]
resolvConf: "{{.State}}/resolv.conf"
staticPodPath: "{{.State}}/manifests"
# The images were loaded by hand and cannot be pulled again; the disk is shared with the machine, which may be nearly full.
imageMinimumGCAge: 87600h
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
nodeStatusUpdateFrequency: 4s
maxPods: 250
`

const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: "{{.State}}/kube-proxy.kubeconfig"}
hostnameOverride: {{.Name}}
clusterCIDR: {{.PodNet}}
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nodePortAddresses: [127.0.0.0/8, {{.IP}}/32]
nftables: {minSyncPeriod: 100ms}
`
