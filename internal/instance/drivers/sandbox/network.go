//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wire is what connects a network namespace to the outside.
type wire struct {
	addr string // the copy's address, empty without egress
}

// network makes network namespaces.
type network struct {
	enabled bool // false when copies make their own
	host    int  // the platform's own namespace
}

func newNetwork(h *host) (network, error) {
	if h.rootless {
		return network{host: -1}, nil
	}
	fd, err := ownFD(unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0))
	if err != nil {
		return network{}, fmt.Errorf("opening the host's network namespace: %w", err)
	}
	return network{enabled: true, host: fd}, nil
}

func (n network) close() {
	if n.host >= 0 {
		_ = unix.Close(n.host)
	}
}

// enter makes a network namespace in which only the loopback works, and moves the calling thread there.
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
	return os.NewFile(uintptr(fd), "netns"), wire{}, nil
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
