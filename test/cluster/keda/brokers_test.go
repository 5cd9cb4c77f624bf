package keda_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// node is the address by which pods reach what runs beside them.
	node = "10.123.0.1"
	// password is what the tests' Redis wants.
	password = "sesame"
)

// process runs a server beside the cluster's own, on a port that is free, until the test ends.
type process struct {
	*testing.T
	address string
	args    []string
	cmd     *exec.Cmd
}

func (p *process) start() {
	p.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("%s does not listen: %v", p.args[0], err)
		}
	}
}

func (p *process) stop() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// free is an address at which nothing listens.
func free(t *testing.T) (address, port string) {
	t.Helper()
	l, err := net.Listen("tcp", node+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return l.Addr().String(), port
}

func run(t *testing.T, address string, args ...string) *process {
	t.Helper()
	p := &process{T: t, address: address, args: args}
	p.start()
	t.Cleanup(p.stop)
	return p
}

// redisServer is the Redis of this machine.
type redisServer struct{ *process }

func redis(t *testing.T) redisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("there is no redis-server: apt-get install redis-server")
	}
	address, port := free(t)
	return redisServer{run(t, address, binary, "--bind", node, "--port", port, "--requirepass", password, "--save", "", "--appendonly", "no")}
}

// do sends one command and returns the first line of the answer.
func (r redisServer) do(command string) string {
	r.Helper()
	conn, err := net.DialTimeout("tcp", r.address, time.Minute)
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "AUTH %s\r\n%s\r\n", password, command)
	lines := bufio.NewScanner(conn)
	lines.Scan() // of AUTH
	if !lines.Scan() || strings.HasPrefix(lines.Text(), "-") {
		r.Fatalf("%s: %q, %v", command, lines.Text(), lines.Err())
	}
	return lines.Text()
}

// nats is a server with a stream "work" of the subjects "work.>" and its consumer "worker".
type nats struct {
	*testing.T
	lines   *bufio.Reader
	conn    net.Conn
	monitor string
}

// natsServer runs the NATS that ofn has among its modules.
func natsServer(t *testing.T) *nats {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "nats-server")
	build := exec.Command("go", "build", "-o", binary, "github.com/nats-io/nats-server/v2")
	build.Dir = filepath.Join("..", "..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compiling nats-server: %v: %s", err, out)
	}
	address, port := free(t)
	monitor, monitorPort := free(t)
	run(t, address, binary, "--addr", node, "--port", port, "--http_port", monitorPort, "--jetstream", "--store_dir", dir)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n := &nats{T: t, lines: bufio.NewReader(conn), conn: conn, monitor: monitor}
	fmt.Fprint(conn, "CONNECT {\"verbose\":false}\r\nSUB answers 1\r\n")
	n.ask("$JS.API.STREAM.CREATE.work", `{"name":"work","subjects":["work.>"],"storage":"memory"}`)
	n.ask("$JS.API.CONSUMER.DURABLE.CREATE.work.worker", `{"stream_name":"work","config":{"durable_name":"worker","ack_policy":"explicit"}}`)
	return n
}

// ask publishes a message and waits until JetStream has said that it is done.
func (n *nats) ask(subject, message string) {
	n.Helper()
	if err := n.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		n.Fatal(err)
	}
	fmt.Fprintf(n.conn, "PUB %s answers %d\r\n%s\r\n", subject, len(message), message)
	for {
		line, err := n.lines.ReadString('\n')
		if err != nil {
			n.Fatalf("asking %s: %v", subject, err)
		}
		switch {
		case strings.HasPrefix(line, "PING"):
			fmt.Fprint(n.conn, "PONG\r\n")
		case strings.HasPrefix(line, "MSG"):
			answer, err := n.lines.ReadString('\n')
			if err != nil || strings.Contains(answer, `"error"`) {
				n.Fatalf("%s was answered with %s, %v", subject, answer, err)
			}
			return
		}
	}
}
