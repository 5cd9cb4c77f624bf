package dapr_test

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// node is the address by which pods reach what runs beside them.
	node     = "10.123.0.1"
	password = "sesame"
)

// server is the Redis of this machine, in the cluster's network, until the test ends.
type server struct {
	*testing.T
	address string
}

func redis(t *testing.T) server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("there is no redis-server: apt-get install redis-server")
	}
	l, err := net.Listen("tcp", node+":0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	cmd := exec.Command(binary, "--bind", node, "--port", port, "--requirepass", password, "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return server{t, address}
		}
		if time.Now().After(deadline) {
			t.Fatal("redis-server does not listen: ", err)
		}
	}
}

// do sends one command and returns the answer, which is a line or a string.
func (s server) do(words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", s.address, time.Minute)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, command := range [][]string{{"AUTH", password}, words} {
		fmt.Fprintf(conn, "*%d\r\n", len(command))
		for _, w := range command {
			fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	if _, err := r.ReadString('\n'); err != nil { // of AUTH
		return "", err
	}
	line, err := r.ReadString('\n')
	line = strings.TrimSpace(line)
	if err != nil || line == "" || line[0] != '$' {
		return line, err
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 0 {
		return "", err
	}
	text := make([]byte, n)
	for i := range text {
		if text[i], err = r.ReadByte(); err != nil {
			return "", err
		}
	}
	return string(text), nil
}

// publish puts an event into a topic, as Dapr does.
func (s server) publish(topic, text string) {
	s.Helper()
	event := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":"test","datacontenttype":"text/plain","data":%q}`, text, text)
	if _, err := s.do("XADD", topic, "*", "data", event); err != nil {
		s.Fatal(err)
	}
}
