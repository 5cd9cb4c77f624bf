//go:build unix && !linux

package wire

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func pair() ([2]int, error) {
	syscall.ForkLock.RLock() // nobody may fork before they are closed on execution
	defer syscall.ForkLock.RUnlock()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(ends[0])
		unix.CloseOnExec(ends[1])
	}
	return ends, err
}
