package node

// component is one long-running program of the node.
type component struct {
	name string
	args []string // the first is the program; the cluster program itself where it is empty
}

const etcdURL = "http://127.0.0.1:2379"

// first are what everything else waits for; they do not wait for one another.
func first(d Dir) []component {
	return []component{
		{"containerd", []string{"containerd", "--config", d.state("containerd.toml")}},
		{"etcd", []string{"", "etcd", "--data-dir", d.state("etcd", "data"), "--unsafe-no-fsync", "--log-level", "warn",
			"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL, "--listen-peer-urls", "http://127.0.0.1:2380"}},
		{"kube-apiserver", []string{"", "kube-apiserver",
			"--etcd-servers", etcdURL,
			"--secure-port", "6443",
			"--advertise-address", IP,
			"--service-cluster-ip-range", serviceNet,
			"--client-ca-file", d.state("pki", "ca.crt"),
			"--tls-cert-file", d.state("pki", "apiserver.crt"),
			"--tls-private-key-file", d.state("pki", "apiserver.key"),
			"--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file", d.state("pki", "tokens.pub"),
			"--service-account-signing-key-file", d.state("pki", "tokens.key"),
			"--kubelet-certificate-authority", d.state("pki", "ca.crt"),
			"--kubelet-client-certificate", d.state("pki", "kubelet-client.crt"),
			"--kubelet-client-key", d.state("pki", "kubelet-client.key"),
			"--kubelet-preferred-address-types", "InternalIP",
			"--requestheader-client-ca-file", d.state("pki", "ca.crt"),
			"--requestheader-allowed-names", "front-proxy",
			"--requestheader-username-headers", "X-Remote-User",
			"--requestheader-group-headers", "X-Remote-Group",
			"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
			"--proxy-client-cert-file", d.state("pki", "front-proxy.crt"),
			"--proxy-client-key-file", d.state("pki", "front-proxy.key"),
			"--enable-aggregator-routing",
			"--authorization-mode", "Node,RBAC",
			"--enable-admission-plugins", "NodeRestriction",
			"--allow-privileged"}},
	}
}

// clients are the clients of the API server.
func clients(d Dir) []component {
	client := func(name string, more ...string) component {
		kubeconfig := d.state(name + ".kubeconfig")
		args := []string{"", name, "--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig,
			"--authorization-kubeconfig", kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1"}
		return component{name, append(args, more...)}
	}
	return []component{
		client("kube-scheduler"),
		client("kube-controller-manager",
			"--use-service-account-credentials",
			"--service-account-private-key-file", d.state("pki", "tokens.key"),
			"--root-ca-file", d.state("pki", "ca.crt"),
			"--cluster-signing-cert-file", d.state("pki", "ca.crt"),
			"--cluster-signing-key-file", d.state("pki", "ca.key")),
		{"kubelet", []string{"", "kubelet", "--config", d.state("kubelet.yaml"), "--kubeconfig", d.state("node.kubeconfig"),
			"--hostname-override", Name, "--node-ip", IP, "--root-dir", d.state("kubelet")}},
		{"kube-proxy", []string{"", "kube-proxy", "--config", d.state("kube-proxy.yaml")}},
	}
}
