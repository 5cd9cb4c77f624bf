package source_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshServer lets one key run git-upload-pack on the repositories below a directory.
type sshServer struct {
	root    string
	address string
	config  *ssh.ServerConfig
	host    ssh.PublicKey
	done    sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func serveSSH(t *testing.T, root string, client ssh.PublicKey) *sshServer {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("the ssh client is not installed")
	}
	host, _ := newKey(t)
	s := &sshServer{root: root, host: host.PublicKey()}
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(client.Marshal()) {
			return nil, io.EOF
		}
		return nil, nil
	}}
	s.config.AddHostKey(host)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.done.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.done.Wait()
	})
	return s
}

// url is that of a repository of the server.
func (s *sshServer) url(repo string) string { return "ssh://git@" + s.address + "/" + repo }

// known is the server's line of a known_hosts file, with a host key of the test's choice.
func (s *sshServer) known(k ssh.PublicKey) []byte {
	return []byte(knownhosts.Line([]string{s.address}, k))
}

// newKey makes a key pair and writes its private half as ssh-keygen does.
func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

func (s *sshServer) serve(c net.Conn) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	var sessions sync.WaitGroup
	defer sessions.Wait()
	sessions.Go(func() { ssh.DiscardRequests(requests) })
	for n := range channels {
		if n.ChannelType() != "session" {
			_ = n.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() { s.session(channel, requests) })
	}
}

// session takes variables and runs one command.
func (s *sshServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	var env []string
	for r := range requests {
		switch r.Type {
		case "env":
			var v struct{ Name, Value string }
			ok := ssh.Unmarshal(r.Payload, &v) == nil && v.Name == "GIT_PROTOCOL"
			if ok {
				env = append(env, v.Name+"="+v.Value)
			}
			_ = r.Reply(ok, nil)
		case "exec":
			var v struct{ Command string }
			_ = r.Reply(ssh.Unmarshal(r.Payload, &v) == nil, nil)
			status := struct{ Code uint32 }{s.run(channel, env, v.Command)}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
			return
		default:
			_ = r.Reply(false, nil)
		}
	}
}

// run takes commands as git sends them: git-upload-pack '/repo'.
func (s *sshServer) run(channel ssh.Channel, env []string, command string) uint32 {
	path, ok := strings.CutPrefix(command, "git-upload-pack '")
	if !ok {
		_, _ = io.WriteString(channel.Stderr(), "only git-upload-pack\n")
		return 128
	}
	cmd := exec.Command("git", "upload-pack", filepath.Join(s.root, filepath.Clean("/"+strings.TrimSuffix(path, "'"))))
	cmd.Env = append(env, "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	in, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return 128
	}
	go func() { // ends with the channel, which the session closes
		_, _ = io.Copy(in, channel)
		in.Close()
	}()
	if cmd.Wait() != nil {
		return 128
	}
	return 0
}
