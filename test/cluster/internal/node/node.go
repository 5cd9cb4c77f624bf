// Package node starts, enters and ends one Kubernetes node whose processes, mounts and network are its own.
//
// Three processes share the work. The caller of Up starts the holder, the first process of a new PID namespace; the
// holder reaps orphans and starts the keeper; the keeper mounts, writes files and keeps the components running. When the
// holder ends, by Down or by a signal, the kernel ends everything else and drops the mounts and the network.
package node

import (
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strings"
)

// Addresses and names inside a node's own network, the same in every cluster, and the image of the pods' first process.
const (
	Name        = "node0"
	IP          = "10.123.0.1"
	Registry    = IP + ":5000" // pulled from without TLS, should a test serve one there
	podNet      = "10.244.0.0/24"
	serviceNet  = "10.96.0.0/16"
	apiService  = "10.96.0.1"
	apiServer   = "https://127.0.0.1:6443"
	PauseImage  = "dev.local/pause:1"
	cniPlugins  = "/usr/lib/cni"
	imagesSpace = "k8s.io" // the containerd namespace the kubelet looks for images in
)

// Dir is the folder of one cluster: its state, its logs and its kubeconfig.
type Dir string

// NewDir checks that path can hold a cluster.
func NewDir(path string) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", path, err)
	}
	for _, hidden := range hiddenTrees {
		if abs == hidden || strings.HasPrefix(abs, hidden+"/") {
			return "", fmt.Errorf("--dir %s lies under %s, which the cluster replaces by an empty tree for itself; choose another folder", abs, hidden)
		}
	}
	return Dir(abs), nil
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (d Dir) Kubeconfig() string { return d.state("admin.kubeconfig") }

// Log is the path of the log of one component ("kubelet"), or of the "holder" or the "keeper".
func (d Dir) Log(name string) string { return filepath.Join(string(d), "log", name+".log") }

func (d Dir) state(elem ...string) string {
	return filepath.Join(append([]string{string(d), "state"}, elem...)...)
}

func (d Dir) socket() string { return "/run/containerd/containerd.sock" }

func (d Dir) lock() string { return filepath.Join(string(d), "lock") }

func (d Dir) pid() string { return filepath.Join(string(d), "holder.pid") }

// cgroup is the group, below the root of each hierarchy, that holds the cluster's pods.
func (d Dir) cgroup() string {
	h := fnv.New32a()
	h.Write([]byte(d))
	return fmt.Sprintf("ofn-cluster-%08x", h.Sum32())
}
