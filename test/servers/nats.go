package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// NATS is an external nats-server with JetStream, of the version that the platform embeds, in a process of its own: it can be
// killed. Admin is its monitoring address.
func NATS(t T, opts ...Option) *Server {
	t.Helper()
	bin, o, dir := natsProgram(t), build(opts), folder(t, "nats")
	port, admin := FreePort(t), FreePort(t)
	srv := &Server{Addr: loopback(port), Admin: loopback(admin)}
	u := url.URL{Scheme: "nats", Host: srv.Addr}
	lines := append([]string{
		"listen: " + srv.Addr, "http: " + srv.Admin, "server_name: test", "max_payload: 8MB",
		"jetstream { store_dir: " + dir + ", max_memory_store: 256MB, max_file_store: 4GB, sync_interval: always }",
	}, o.settings...)
	if o.password != "" {
		srv.User, srv.Password, u.User = User, o.password, url.UserPassword(User, o.password)
		lines = append(lines, fmt.Sprintf("authorization { user: %q, password: %q }", User, o.password))
	}
	srv.URL = u.String()
	return launch(t, srv, spec{
		name: "nats", argv: []string{bin, write(t, dir, "nats.conf", lines...)}, dir: dir,
		ready: talk(srv.Admin, "GET /healthz?js-enabled-only=true HTTP/1.0\r\n\r\n", "HTTP/1.0 200"),
	})
}

// natsProgram builds the server from the module that the platform uses, once for all test binaries.
func natsProgram(t T) string {
	t.Helper()
	dir := cache(t)
	bin := filepath.Join(dir, "natsserver")
	unlock := lock(t, filepath.Join(dir, "natsserver.lock"))
	defer unlock()
	var out bytes.Buffer
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", bin, "github.com/openfunction/ofn/test/servers/natsserver")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("building a NATS server: %v\n%s", err, out.String())
	}
	return bin
}

// cache is where what tests need is kept from run to run.
func cache(t T) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		base = filepath.Join(os.TempDir(), fmt.Sprintf("cache-%d", os.Getuid()))
	}
	dir := filepath.Join(base, "ofn-test-servers")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("making the cache of test servers: %v", err)
	}
	return dir
}

// lock lets one test binary at a time fill the cache.
func lock(t T, path string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatalf("locking the cache of test servers: %v", err)
		return func() {}
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		t.Fatalf("locking the cache of test servers: %v", err)
	}
	return func() { _ = f.Close() }
}
