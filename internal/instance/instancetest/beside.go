//go:build linux

package instancetest

import (
	"net"
	"strconv"
	"testing"

	"github.com/openfunction/ofn/internal/instance"
)

// beside: two copies in one network reach one another on its loopback, and nothing else of one another; no neighbour reaches either.
func (s *suite) beside(t *testing.T) {
	sharer, ok := s.driver.(instance.Sharer)
	if !ok || s.OneUser {
		t.Skip("this driver starts no copies beside others here")
	}
	const second = 8081
	one := s.serve(t, nil)
	spec := s.spec("serve")
	spec.Process.Env = []string{"PATH=/bin", "PORT=" + strconv.Itoa(second)}
	spec.Listen = instance.Listen{Port: second}
	spec.Files = []instance.File{{Path: "/secret", Data: []byte("x"), Mode: 0o400}}
	two, err := sharer.StartBeside(t.Context(), spec, one)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(second))
	until(t, func() error {
		c, err := two.Dial(t.Context())
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	must(t, two, "read", "/secret")
	must(t, one, "dial", "tcp", address)
	refused(t, one, "read", "/secret")
	refused(t, s.serve(t, nil), "dial", "tcp", address)
	two.Stop(0)
	ended(t, two)
	refused(t, one, "dial", "tcp", address)
	must(t, one, "hello")
	if _, err := sharer.StartBeside(t.Context(), spec, two); err == nil {
		t.Error("a copy was started beside one that has ended")
	}
}
