//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// offer makes the listeners of a copy's services in its network, while the copy itself is still being set up.
func (p *process) offer(host int, services []instance.Service) error {
	for _, s := range services {
		l, err := p.listenInside(host, s.Port)
		if err != nil {
			p.withdraw()
			return fmt.Errorf("serving port %d of the copy's loopback: %w", s.Port, err)
		}
		p.offered = append(p.offered, l)
		s.Accept(l)
	}
	return nil
}

// withdraw closes the listeners.
func (p *process) withdraw() {
	for _, l := range p.offered {
		_ = l.Close() // whoever accepts may have closed it
	}
	p.offered = nil
}

// listenInside listens with a socket that was made in the copy's network. The copy's loopback need not be up yet.
func (p *process) listenInside(host, port int) (net.Listener, error) {
	fd, err := p.socketFrom(host)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "service")
	defer f.Close()
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
		unix.Listen(fd, backlog),
	); err != nil {
		return nil, err
	}
	return net.FileListener(f)
}

// socketFrom makes a TCP socket in the copy's network.
func (p *process) socketFrom(host int) (int, error) {
	if p.berth.netns == nil {
		return p.socketInside()
	}
	runtime.LockOSThread()
	if err := enterNetwork(p.berth.netns); err != nil {
		runtime.UnlockOSThread()
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if back := unix.Setns(host, unix.CLONE_NEWNET); back != nil { // the thread stays locked, and ends with its goroutine
		return fd, errors.Join(err, fmt.Errorf("returning from the network of the instance: %w", back))
	}
	runtime.UnlockOSThread()
	return fd, err
}
