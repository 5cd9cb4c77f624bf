package node

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hiddenTrees are replaced by empty ones in the node's own view, so that what containerd, the network plugins and the
// kubelet keep at fixed places neither meets the machine's nor outlives the cluster.
var hiddenTrees = []string{"/run", "/var/lib", "/var/log"}

// kernelSettings are what the kubelet insists on for the whole machine. They are bind-mounted over, so it sees the
// values it wants and the machine keeps its own.
var kernelSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// isolate gives this process, which must be in new mount and network namespaces, the node's view of files and network.
func isolate(d Dir) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("separating the mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil { // the kubelet's volumes propagate
		return fmt.Errorf("sharing the mounts with the pods: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, tree := range append([]string{d.state("etcd")}, hiddenTrees...) {
		if err := os.MkdirAll(tree, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", tree, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mounting an empty %s: %w", tree, err)
		}
	}
	for name, value := range kernelSettings {
		if err := overlaySetting(d, name, value); err != nil {
			return err
		}
	}
	return network()
}

func overlaySetting(d Dir, name, value string) error {
	target := filepath.Join("/proc/sys", name)
	if _, err := os.Stat(target); err != nil {
		return nil // this kernel does not have it, and the kubelet does not ask for it
	}
	file := d.state("sysctl", filepath.Base(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
		return err
	}
	if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("covering %s: %w", target, err)
	}
	return nil
}

// network brings up loopback and the node's address, with a default route without which the kubelet finds no address.
func network() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bringing up the loopback device: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer0"}); err != nil {
		return fmt.Errorf("making the node's network device: %w", err)
	}
	addr, err := netlink.ParseAddr(IP + "/32")
	if err != nil {
		return err
	}
	everywhere := net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	for _, name := range []string{"peer0", "eth0"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("finding %s: %w", name, err)
		}
		if name == "eth0" {
			if err := netlink.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("giving the node its address: %w", err)
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("bringing up %s: %w", name, err)
		}
		if name == "eth0" {
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: &everywhere}); err != nil {
				return fmt.Errorf("setting the default route: %w", err)
			}
		}
	}
	for _, name := range []string{"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"} {
		err := os.WriteFile(filepath.Join("/proc/sys", name), []byte("1"), 0o600)
		if err != nil && name == "net/ipv4/ip_forward" {
			return fmt.Errorf("switching on forwarding: %w", err)
		}
	}
	return nil
}
