package host

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// Listen takes the socket that the platform gave as file descriptor 3, or listens on the port in PORT, 8080 without one.
func Listen(e Env) (net.Listener, error) {
	if e["LISTEN_FDS"] == "1" && e["LISTEN_PID"] == strconv.Itoa(os.Getpid()) {
		f := os.NewFile(3, "listen")
		defer f.Close()
		l, err := net.FileListener(f)
		if err != nil {
			return nil, fmt.Errorf("serving file descriptor 3: %w", err)
		}
		return l, nil
	}
	port, err := e.Number("PORT", 8080)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening on the port in PORT: %w", err)
	}
	return l, nil
}
