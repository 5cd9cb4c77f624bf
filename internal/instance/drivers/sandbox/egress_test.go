//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/instance/instancetest"
)

// linkEnds are the two ends of the link to a machine outside, in the range for documentation: others than those of the same test in
// another checkout, most likely.
func linkEnds() (host, outside string) {
	n := os.Getpid() % 64 * 4
	return fmt.Sprintf("203.0.113.%d", n+1), fmt.Sprintf("203.0.113.%d", n+2)
}

// outside makes a network namespace that plays another machine. Its server tells each client the address that it sees.
func outside(t *testing.T) string {
	t.Helper()
	type made struct {
		l   net.Listener
		err error
	}
	result := make(chan made)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends in its namespace
		l, err := outsideListener()
		result <- made{l, err}
	}()
	m := <-result
	if m.err != nil {
		t.Skipf("no machine outside can be played: %v", m.err)
	}
	t.Cleanup(func() { m.l.Close() })
	go func() {
		for {
			c, err := m.l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
	return m.l.Addr().String()
}

func outsideListener() (net.Listener, error) {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer host.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	hostEnd, outsideEnd := linkEnds()
	own, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer own.Close()
	name := fmt.Sprintf("sbt%x", os.Getpid())
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsPid(unix.Gettid())}
	if err := host.LinkAdd(pair); err != nil {
		return nil, err
	}
	for _, end := range []struct {
		h          *netlink.Handle
		name, addr string
	}{{host, name, hostEnd}, {own, "eth0", outsideEnd}} {
		link, err := end.h.LinkByName(end.name)
		if err != nil {
			return nil, err
		}
		addr, err := netlink.ParseAddr(end.addr + "/30")
		if err != nil {
			return nil, err
		}
		if err := end.h.AddrAdd(link, addr); err != nil {
			return nil, err
		}
		if err := end.h.LinkSetUp(link); err != nil {
			return nil, err
		}
	}
	return net.Listen("tcp4", outsideEnd+":0")
}

func TestEgress(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("egress needs root")
	}
	server := outside(t)
	hostEnd, _ := linkEnds()
	d, err := sandbox.New(sandbox.Options{StateDir: t.TempDir() + "/state", Egress: sandbox.EgressNAT})
	if err != nil {
		t.Skipf("this machine cannot let copies out: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	layer := instancetest.BuildProbe(t)
	serve := func(id string) instance.Instance {
		in, err := d.Start(t.Context(), instance.Spec{
			ID: id, Layers: []string{layer}, Log: io.Discard, Listen: instance.Listen{Activation: true, Port: 8080},
			Process: instance.Process{Args: []string{"/bin/probe", "serve"}, Env: []string{"PORT=8080"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Stop(0); <-in.Done() })
		return in
	}
	in, other := serve("one"), serve("two")
	if reply, ok := request(t, in, "hear", "tcp", server); !ok || reply != hostEnd {
		t.Errorf("the outside sees %q, want %s", reply, hostEnd)
	}
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	addrs, _ := request(t, other, "addresses")
	neighbour := regexp.MustCompile(`100\.127\.\d+\.\d+`).FindString(addrs)
	if neighbour == "" {
		t.Fatalf("an instance has addresses %s", addrs)
	}
	var wg sync.WaitGroup
	for _, addr := range []string{
		fmt.Sprintf("%s:%d", hostEnd, port), fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("169.254.1.1:%d", port), neighbour + ":8080",
	} {
		wg.Go(func() {
			if reply, ok := request(t, in, "dial", "tcp", addr); ok {
				t.Errorf("%s was reached: %s", addr, reply)
			}
		})
	}
	wg.Wait()
	if conf, ok := request(t, in, "read", "/etc/resolv.conf"); !ok || strings.Contains(conf, "127.0.0.") {
		t.Errorf("resolv.conf: %q", conf)
	}
}

// request is one exchange with the probe.
func request(t *testing.T, in instance.Instance, words ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := in.Dial(ctx)
	if err != nil {
		t.Error(err)
		return "", false
	}
	defer c.Close()
	_, err = io.WriteString(c, strings.Join(words, "\t")+"\n")
	b, err2 := io.ReadAll(c)
	if err := errors.Join(err, err2); err != nil {
		t.Error(err)
	}
	verdict, reply, _ := strings.Cut(string(b), "\n")
	return reply, verdict == "ok"
}
