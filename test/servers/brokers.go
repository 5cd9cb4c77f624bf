package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is the path of an installed program; the test is skipped without it. Debian keeps servers where ordinary users do
// not look.
func program(t T, pkg string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/lib/rabbitmq/bin"} {
			if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return p
			}
		}
	}
	t.Skipf("%s is not installed: apt-get install %s", names[0], pkg)
	return ""
}

// Redis is a Redis that keeps every write on disk.
func Redis(t T, opts ...Option) *Server {
	t.Helper()
	bin, o, port, dir := program(t, "redis-server", "redis-server"), build(opts), FreePort(t), folder(t, "redis")
	lines := append([]string{"bind 127.0.0.1", fmt.Sprintf("port %d", port), "dir " + dir, "appendonly yes", "appendfsync always", "save \"\""}, o.settings...)
	srv := &Server{Addr: loopback(port), Password: o.password}
	login := ""
	u := url.URL{Scheme: "redis", Host: srv.Addr}
	if o.password != "" {
		lines = append(lines, "requirepass "+o.password)
		login = "AUTH " + o.password + "\r\n"
		u.User = url.UserPassword("default", o.password)
	}
	srv.URL = u.String()
	return launch(t, srv, spec{
		name: "redis", argv: []string{bin, write(t, dir, "redis.conf", lines...)}, dir: dir,
		ready: talk(srv.Addr, login+"PING\r\n", "+PONG"),
	})
}

// Mosquitto is an MQTT 3.1.1 and 5 broker that keeps its sessions and retained messages over a Restart, not over a Kill.
func Mosquitto(t T, opts ...Option) *Server {
	t.Helper()
	bin, o, port, dir := program(t, "mosquitto", "mosquitto"), build(opts), FreePort(t), folder(t, "mosquitto")
	srv := &Server{Addr: loopback(port)}
	lines := append([]string{
		fmt.Sprintf("listener %d 127.0.0.1", port), "persistence true", "persistence_location " + dir + "/",
		"autosave_on_changes true", "autosave_interval 1", "allow_anonymous " + fmt.Sprint(o.password == ""),
	}, o.settings...)
	if os.Getuid() == 0 {
		lines = append(lines, "user root")
	}
	u := url.URL{Scheme: "tcp", Host: srv.Addr}
	if o.password != "" {
		file := filepath.Join(dir, "passwords")
		if out, err := exec.Command(program(t, "mosquitto", "mosquitto_passwd"), "-c", "-b", file, User, o.password).CombinedOutput(); err != nil {
			t.Fatalf("making mosquitto's password file: %v: %s", err, out)
		}
		lines = append(lines, "password_file "+file)
		srv.User, srv.Password, u.User = User, o.password, url.UserPassword(User, o.password)
	}
	srv.URL = u.String()
	return launch(t, srv, spec{
		name: "mosquitto", argv: []string{bin, "-c", write(t, dir, "mosquitto.conf", lines...)}, dir: dir, ready: dial(srv.Addr),
	})
}

// RabbitMQ speaks AMQP 0.9.1. Its user is User, with the password "secret" unless Password says another. Its node keeps its data
// over a Kill.
func RabbitMQ(t T, opts ...Option) *Server {
	t.Helper()
	bin := program(t, "rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server")
	epmd := program(t, "erlang-base", "epmd")
	o, dir := build(opts), folder(t, "rabbitmq")
	port, dist, mapper := FreePort(t), FreePort(t), FreePort(t)
	if o.password == "" {
		o.password = "secret"
	}
	conf := write(t, dir, "rabbitmq.conf", append([]string{
		fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d", port), "default_user = " + User, "default_pass = " + o.password,
		"loopback_users = none", "log.console = true", "log.file = false", "log.console.level = warning",
	}, o.settings...)...)
	plugins := write(t, dir, "plugins", "[].")
	env := append(os.Environ(), "HOME="+dir, "RABBITMQ_NODENAME=test@localhost", "RABBITMQ_MNESIA_BASE="+dir+"/data",
		"RABBITMQ_LOG_BASE="+dir, "RABBITMQ_CONFIG_FILE="+conf, "RABBITMQ_ENABLED_PLUGINS_FILE="+plugins,
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", dist), fmt.Sprintf("ERL_EPMD_PORT=%d", mapper), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}")
	launch(t, &Server{Addr: loopback(mapper)}, spec{ // the name server of Erlang nodes: RabbitMQ would leave one behind
		name: "epmd", argv: []string{epmd, "-port", fmt.Sprint(mapper), "-address", "127.0.0.1"}, dir: dir, ready: dial(loopback(mapper)),
	})
	srv := &Server{Addr: loopback(port), User: User, Password: o.password}
	srv.URL = (&url.URL{Scheme: "amqp", Host: srv.Addr, User: url.UserPassword(User, o.password), Path: "/"}).String()
	return launch(t, srv, spec{
		name: "rabbitmq", argv: []string{bin}, env: env, dir: dir,
		ready: talk(srv.Addr, "AMQP\x00\x00\x09\x01", "\x01\x00\x00"),
	})
}

// talk is the readiness of a server that answers say with something that begins with want.
func talk(addr, say, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if at, ok := ctx.Deadline(); ok {
			_ = c.SetDeadline(at)
		}
		if _, err := c.Write([]byte(say)); err != nil {
			return err
		}
		in := bufio.NewReader(c)
		if strings.HasPrefix(say, "AUTH") {
			if _, err := in.ReadString('\n'); err != nil {
				return err
			}
		}
		head, err := in.Peek(len(want))
		if err != nil {
			return err
		}
		if string(head) != want {
			return errors.New("it answers " + string(head))
		}
		return nil
	}
}

// talkFirst waits for the first byte that a server says.
func talkFirst(ctx context.Context, addr string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	_, err = c.Read(make([]byte, 1))
	return err
}
