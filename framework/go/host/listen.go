package host

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// inheritedFD is the first descriptor of the systemd socket-activation protocol, see sd_listen_fds(3).
const inheritedFD = 3

// Listen returns the inherited listening socket when LISTEN_FDS is 1 and LISTEN_PID is this process, otherwise it listens on
// TCP port (0 is DefaultPort) on all addresses. It removes LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID from the environment, so
// that a child does not take the socket for its own.
func Listen(port int) (net.Listener, error) {
	if inherited(os.Getenv, os.Getpid()) {
		return listenFD(inheritedFD)
	}
	if port == 0 {
		port = DefaultPort
	}
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return nil, fmt.Errorf("listening on port %d (set PORT to choose another): %w", port, err)
	}
	return l, nil
}

func inherited(getenv func(string) string, pid int) bool {
	return getenv("LISTEN_FDS") == "1" && getenv("LISTEN_PID") == strconv.Itoa(pid)
}

func listenFD(fd uintptr) (net.Listener, error) {
	for _, k := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(k); err != nil {
			return nil, fmt.Errorf("clearing %s: %w", k, err)
		}
	}
	f := os.NewFile(fd, "inherited socket")
	if f == nil {
		return nil, fmt.Errorf("LISTEN_FDS is 1 but file descriptor %d is not valid", fd)
	}
	defer f.Close() // FileListener works on a duplicate that is closed on exec
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("LISTEN_FDS is 1 but file descriptor %d is not a listening socket: %w", fd, err)
	}
	return l, nil
}
