//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// StartBeside implements instance.Sharer. It needs a platform that is root: a copy of another user's makes its own network.
func (d *Driver) StartBeside(ctx context.Context, s instance.Spec, other instance.Instance) (instance.Instance, error) {
	i, ok := other.(*Instance)
	switch {
	case !ok || i.driver != d:
		return nil, fmt.Errorf("instance %s: the one that it is to be beside is not of this driver", s.ID)
	case d.host.rootless:
		return nil, fmt.Errorf("instance %s: two copies can have one network only where the platform is root", s.ID)
	case len(s.Services) > 0:
		return nil, fmt.Errorf("instance %s: services are offered to the one that it is beside", s.ID)
	}
	if err := i.over(); err != nil {
		return nil, err
	}
	return d.admitted(ctx, s, i)
}

// admitTo lets a plan be carried out in the network of this copy. leave is called when it was.
func (i *Instance) admitTo(pl *plan) (leave func(), err error) {
	c, err := i.process.berth.netns.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var failed error
	err = c.Control(func(ns uintptr) { fd, failed = unix.FcntlInt(ns, unix.F_DUPFD_CLOEXEC, lowestOwn) })
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("opening the network of instance %s: %w", i.id, err)
	}
	pl.shareNet, pl.hostNet = true, fd
	return func() { _ = unix.Close(fd) }, nil
}
