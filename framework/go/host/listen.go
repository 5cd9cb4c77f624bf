package host

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
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

// FromEnv reads the port and the grace period. The port is that of FUNC_CONTEXT_V1BETA2 (triggers.http.port), FUNC_CONTEXT
// (port), PORT, in this order: some base images set PORT to a value that nobody chose, but a context is always written
// for this function. The grace period is OFN_GRACE, a Go duration such as "25s".
func FromEnv(getenv func(string) string) (Config, error) {
	var c Config
	port, name, err := portText(getenv)
	if err != nil {
		return c, err
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return c, fmt.Errorf("%s is %q: a port is a number from 1 to 65535", name, port)
		}
		c.Port = int(n)
	}
	if g := getenv("OFN_GRACE"); g != "" {
		d, err := time.ParseDuration(g)
		if err != nil || d <= 0 {
			return c, fmt.Errorf("OFN_GRACE is %q: it must be a positive duration such as 25s", g)
		}
		c.Grace = d
	}
	return c, nil
}

// portText finds the port and the name of where it was found. Both are empty when none is set.
func portText(getenv func(string) string) (port, name string, err error) {
	if text := getenv("FUNC_CONTEXT_V1BETA2"); text != "" {
		var v2 struct {
			Triggers struct {
				HTTP struct{ Port json.Number }
			}
		}
		if err := json.Unmarshal([]byte(text), &v2); err != nil {
			return "", "", fmt.Errorf("reading FUNC_CONTEXT_V1BETA2: %w", err)
		}
		if p := v2.Triggers.HTTP.Port.String(); p != "" && p != "0" {
			return p, "triggers.http.port of FUNC_CONTEXT_V1BETA2", nil
		}
	}
	if text := getenv("FUNC_CONTEXT"); text != "" {
		var v1 struct{ Port json.Number }
		if err := json.Unmarshal([]byte(text), &v1); err != nil {
			return "", "", fmt.Errorf("reading FUNC_CONTEXT: %w", err)
		}
		if p := v1.Port.String(); p != "" && p != "0" {
			return p, "port of FUNC_CONTEXT", nil
		}
	}
	return getenv("PORT"), "PORT", nil
}
