//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// network makes network namespaces.
type network struct {
	enabled bool    // false when copies make their own
	host    int     // the platform's own namespace
	egress  *egress // nil when copies reach nothing
}

func newNetwork(h *host, o Options) (network, error) {
	nat := o.Egress == EgressNAT
	if h.rootless && nat {
		return network{host: -1}, errors.New("egress nat needs root: run the platform as root, or set egress to none")
	}
	if h.rootless {
		return network{host: -1}, nil
	}
	fd, err := ownFD(unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0))
	if err != nil {
		return network{host: -1}, fmt.Errorf("opening the host's network namespace: %w", err)
	}
	n := network{enabled: true, host: fd}
	if nat {
		n.egress, err = newEgress(fd, h.dir, o.EgressSubnet)
	}
	return n, err
}

func (n network) close() error {
	var err error
	if n.egress != nil {
		err = n.egress.close()
	}
	if n.host >= 0 {
		_ = unix.Close(n.host)
	}
	return err
}

// clean removes the rules of an earlier process that let copies out, when this one does not.
func (n network) clean(h *host) error {
	if n.egress != nil || h.rootless {
		return nil
	}
	err := newNftables(tableName(h.dir)).remove()
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return nil // a kernel without nftables has no rules
	}
	return err
}

// enter makes a network namespace with a loopback, and perhaps a way out, and moves the calling thread there.
func (n network) enter() (*os.File, wire, error) {
	if !n.enabled {
		return nil, wire{}, nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, wire{}, fmt.Errorf("making a network namespace: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return nil, wire{}, fmt.Errorf("bringing the loopback up: %w", err)
	}
	// Nothing inside has capabilities; a server may want port 80 all the same.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0); err != nil {
		return nil, wire{}, fmt.Errorf("allowing low ports: %w", err)
	}
	fd, err := ownFD(unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0))
	if err != nil {
		return nil, wire{}, fmt.Errorf("opening the network namespace: %w", err)
	}
	var w wire
	if n.egress != nil {
		if w, err = n.egress.connect(fd); err != nil {
			_ = unix.Close(fd)
			return nil, wire{}, err
		}
	}
	return os.NewFile(uintptr(fd), "netns"), w, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(req)))
	if errno != 0 {
		return errno
	}
	return nil
}
