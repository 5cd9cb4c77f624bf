//go:build linux

package instancetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

func (s *suite) surroundings(t *testing.T) {
	if s.Module {
		s.moduleSurroundings(t)
		return
	}
	secret := "s3cret\x00binary"
	upper := t.TempDir()
	if err := os.WriteFile(filepath.Join(upper, "top"), []byte("upper layer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(upper, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(upper, "data", "file"), []byte("replaced"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{filepath.Dir(upper), upper} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	in := s.serve(t, func(sp *instance.Spec) {
		sp.Layers = append(sp.Layers, upper)
		sp.Process.Dir = "/work/here"
		sp.Process.Env = append(sp.Process.Env, "GREETING=good day", "LISTEN_FDS=9")
		sp.Files = []instance.File{
			{Path: "/etc/secret/key", Data: []byte(secret), Mode: 0o400},
			{Path: "/etc/os-release", Data: []byte("ID=overridden")},
			{Path: "/etc/empty"},
		}
	})
	for _, c := range []struct{ request, want string }{
		{"read\t/etc/secret/key", secret},
		{"mode\t/etc/secret/key", "400 1000:1000"},
		{"mode\t/etc/os-release", "444 1000:1000"},
		{"read\t/etc/os-release", "ID=overridden"},
		{"read\t/etc/empty", ""},
		{"read\t/top", "upper layer"},
		{"read\t/data/file", "replaced"},
		{"read\t/data/dir/inner", "x"},
		{"whoami", "1000:1000 1 " + in.ID() + " /work/here"},
	} {
		if got := must(t, in, strings.Split(c.request, "\t")...); got != c.want {
			t.Errorf("%q = %q, want %q", c.request, got, c.want)
		}
	}
	env := "\n" + must(t, in, "env") + "\n"
	for _, kv := range []string{"GREETING=good day", "PORT=8080", "LISTEN_FDS=1", "LISTEN_PID=1"} {
		if !strings.Contains(env, "\n"+kv+"\n") {
			t.Errorf("%s is not in the environment %q", kv, env)
		}
	}
	for _, own := range []string{os.Getenv("HOME"), "GOPATH="} {
		if own != "" && own != "/" && strings.Contains(env, own) {
			t.Errorf("the platform's environment leaks: %q", env)
		}
	}
}

// moduleSurroundings are what a module has: its environment and the files it was given, which it cannot change.
func (s *suite) moduleSurroundings(t *testing.T) {
	secret := "s3cret\x00binary"
	in := s.serve(t, func(sp *instance.Spec) {
		sp.Process.Env = append(sp.Process.Env, "GREETING=good day")
		sp.Files = []instance.File{{Path: "/etc/secret/key", Data: []byte(secret)}, {Path: "/etc/empty"}}
	})
	until(t, func() error {
		c, err := in.Dial(t.Context())
		if err == nil {
			c.Close()
		}
		return err
	})
	if got := must(t, in, "read", "/etc/secret/key"); got != secret {
		t.Errorf("the file is %q", got)
	}
	if env := "\n" + must(t, in, "env") + "\n"; !strings.Contains(env, "\nGREETING=good day\n") {
		t.Errorf("the environment is %q", env)
	}
	refused(t, in, "write", "/etc/secret/key", "x")
	refused(t, in, "write", "/x", "x")
	if got := must(t, in, "list", "/"); got != "etc" {
		t.Errorf("the root has %q", got)
	}
	for _, f := range []string{"/etc/passwd", "/proc/self/environ", "/../../../etc/passwd", "/data/file"} {
		refused(t, in, "read", f)
	}
}

func (s *suite) isolation(t *testing.T) {
	t.Run("root filesystem", s.filesystem)
	t.Run("processes", s.processes)
	t.Run("network", s.networks)
	t.Run("services", s.services)
	t.Run("beside", s.beside)
	t.Run("privileges", s.privileges)
}

func (s *suite) filesystem(t *testing.T) {
	asRoot := func(sp *instance.Spec) { sp.Process.UID, sp.Process.GID = 0, 0 }
	t.Run("writable", func(t *testing.T) {
		in := s.serve(t, asRoot)
		must(t, in, "write", "/data/new", "x")
		must(t, in, "append", "/data/file", "more")
		must(t, in, "write", "/tmp/x", "x")
		must(t, in, "write", "/dev/shm/x", "x")
		must(t, in, "write", "/dev/null", "x")
		if b, err := os.ReadFile(filepath.Join(s.layer, "data/file")); err != nil || string(b) != "from the image\n" {
			t.Errorf("the layer was written to: %q, %v", b, err)
		}
		other := s.serve(t, asRoot)
		refused(t, other, "read", "/data/new")
		if got := must(t, other, "list", "/tmp"); got != "" {
			t.Errorf("/tmp of another has %q", got)
		}
	})
	t.Run("read-only", func(t *testing.T) {
		in := s.serve(t, func(sp *instance.Spec) {
			asRoot(sp)
			sp.Process.ReadOnlyRoot = true
			sp.Files = []instance.File{{Path: "/etc/f", Data: []byte("f")}}
		})
		for _, f := range []string{"/x", "/data/file", "/etc/f", "/bin/probe", "/dev/x"} {
			refused(t, in, "write", f, "x")
		}
		must(t, in, "write", "/tmp/x", "x")
		must(t, in, "read", "/etc/f")
	})
	t.Run("bounded", func(t *testing.T) {
		if got := must(t, s.serve(t, nil), "fill", "/tmp/x"); !strings.Contains(got, "no space left") {
			t.Errorf("filling /tmp: %s", got)
		}
	})
	t.Run("nothing of the host", func(t *testing.T) {
		marker := filepath.Join(t.TempDir(), "marker")
		if err := os.WriteFile(marker, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		in := s.serve(t, asRoot)
		refused(t, in, "read", marker)
		refused(t, in, "list", "/root")
		if got := must(t, in, "list", "/"); strings.Contains(got, "usr") || strings.Contains(got, "home") {
			t.Errorf("the root has %q", got)
		}
		for _, f := range []string{"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches"} {
			refused(t, in, "append", f, "0")
		}
		refused(t, in, "read", "/proc/kcore")
		for _, line := range strings.Split(must(t, in, "read", "/proc/self/mountinfo"), "\n") {
			f := strings.Fields(line)
			if len(f) <= 4 {
				continue
			}
			if group, ok := strings.CutPrefix(f[4], "/sys/fs/cgroup"); ok && strings.Count(group, "/") < 2 && f[3] == "/" && strings.HasPrefix(f[5], "ro,") {
				continue // its own group, as the root of all
			}
			if !strings.Contains(" / /proc /sys /dev /dev/shm /tmp /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty ", " "+f[4]+" ") {
				t.Errorf("unexpected mount %q", line)
			}
		}
		// Its socket, its log, the connection, the directory, what the runtime polls with, and its view of the cpu limit.
		if got := must(t, in, "list", "/proc/self/fd"); len(strings.Fields(got)) > 11 {
			t.Errorf("open descriptors: %q", strings.Fields(got))
		}
	})
}

func (s *suite) processes(t *testing.T) {
	first, second := s.serve(t, nil), s.serve(t, nil)
	must(t, first, "spawn", "2")
	pids := 0
	for _, name := range strings.Fields(must(t, second, "list", "/proc")) {
		if _, err := strconv.Atoi(name); err == nil {
			pids++
		}
	}
	if pids != 1 {
		t.Errorf("one instance sees %d processes, want itself", pids)
	}
}

func (s *suite) networks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	abstract, err := net.Listen("unix", fmt.Sprintf("@instancetest-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	neighbour := s.serve(t, func(sp *instance.Spec) { sp.Listen.Activation = false })
	until(t, func() error {
		c, err := neighbour.Dial(t.Context())
		if err == nil {
			c.Close()
		}
		return err
	})
	in := s.serve(t, nil)
	refused(t, in, "dial", "tcp", l.Addr().String())
	refused(t, in, "dial", "unix", abstract.Addr().String())
	refused(t, in, "dial", "tcp", "127.0.0.1:8080")
	for _, a := range hostAddresses(t) {
		refused(t, in, "dial", "tcp", net.JoinHostPort(a, strconv.Itoa(l.Addr().(*net.TCPAddr).Port)))
	}
}

// services are the copy's own: it reaches them from the first instruction on, its neighbours do not, and they end with it.
func (s *suite) services(t *testing.T) {
	const offered = 50001
	accepted := make(chan error, 1)
	in := s.serve(t, func(sp *instance.Spec) {
		sp.Services = []instance.Service{{Port: offered, Accept: func(l net.Listener) {
			go func() { // ends when the driver closes the listener
				for {
					c, err := l.Accept()
					if err != nil {
						accepted <- err
						return
					}
					c.Close()
				}
			}()
		}}}
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(offered))
	must(t, in, "dial", "tcp", address)
	must(t, in, "dial", "tcp", address)
	refused(t, s.serve(t, nil), "dial", "tcp", address)
	in.Stop(0)
	ended(t, in)
	select {
	case err := <-accepted:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener ended with %v", err)
		}
	case <-time.After(patient):
		t.Error("the listener outlived the copy")
	}
	if _, err := s.driver.Start(t.Context(), func() instance.Spec {
		sp := s.spec("serve")
		twice := instance.Service{Port: offered, Accept: func(net.Listener) {}}
		sp.Services = []instance.Service{twice, twice}
		return sp
	}()); err == nil {
		t.Error("two services on one port were accepted")
	}
}

func hostAddresses(t *testing.T) []string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			out = append(out, n.IP.String())
		}
	}
	return out
}
