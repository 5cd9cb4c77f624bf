package heads

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/openfunction/ofn/internal/build"
)

// maxKnownHosts is what fits a pipe that nobody reads.
const maxKnownHosts = 60 << 10

// sshRemote is a repository that is reached over ssh.
type sshRemote struct{ user, address, path string }

func parseSSH(raw string) (sshRemote, error) {
	if !strings.Contains(raw, "://") {
		at, path, err := scp(raw)
		if err != nil {
			return sshRemote{}, err
		}
		user, host, _ := strings.Cut(at, "@")
		return sshRemote{user, net.JoinHostPort(host, "22"), path}, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return sshRemote{}, failure("SourceInvalid", "source URL %q is none", raw)
	}
	return sshRemote{or(u.User.Username(), "git"), net.JoinHostPort(u.Hostname(), or(u.Port(), "22")), u.Path}, nil
}

// scp takes user@host:path apart.
func scp(raw string) (at, path string, err error) {
	at, path, ok := strings.Cut(raw, ":")
	user, host, both := strings.Cut(at, "@")
	if !ok || !both || user == "" || host == "" || path == "" || strings.ContainsAny(at, "/ ") {
		return "", "", failure("SourceInvalid", "source URL %q: want https://, http://, ssh:// or user@host:path", raw)
	}
	return at, path, nil
}

// overSSH runs git-upload-pack at the other end, and leaves when it has told its branches.
func (r *Resolver) overSSH(ctx context.Context, s build.Source) (*packp.AdvRefs, error) {
	to, err := parseSSH(s.URL)
	if err != nil {
		return nil, err
	}
	config, err := clientConfig(to.user, s.Auth)
	if err != nil {
		return nil, err
	}
	conn, err := r.o.Dial(ctx, "tcp", to.address)
	if err != nil {
		return nil, fmt.Errorf("reaching %s: %w", to.address, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	secure, channels, requests, err := ssh.NewClientConn(conn, to.address, config)
	if err != nil {
		return nil, sshFailure(ctx, to, err)
	}
	client := ssh.NewClient(secure, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return nil, sshFailure(ctx, to, err)
	}
	defer session.Close()
	out, err := session.StdoutPipe()
	if err == nil {
		err = session.Start("git-upload-pack '" + strings.ReplaceAll(to.path, "'", `'\''`) + "'")
	}
	if err != nil {
		return nil, sshFailure(ctx, to, err)
	}
	refs, err := r.decode(s, out)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return refs, err
}

func clientConfig(user string, a build.Auth) (*ssh.ClientConfig, error) {
	if len(a.SSHKey) == 0 {
		return nil, failure("SourceAuth", "no ssh key was given: name a secret of type kubernetes.io/ssh-auth in build.srcRepo.credentials")
	}
	key, err := ssh.ParsePrivateKey(a.SSHKey)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, failure("SourceAuth", "the ssh key of the secret in build.srcRepo.credentials has a passphrase: give a key without one")
	case err != nil:
		return nil, failure("SourceAuth", "the ssh key of the secret in build.srcRepo.credentials cannot be read: ssh-privatekey must hold a whole private key file")
	}
	c := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()} //nolint:gosec // as builds do without known_hosts
	if len(a.KnownHosts) > 0 {
		c.HostKeyCallback, err = knownHosts(a.KnownHosts)
	}
	return c, err
}

// knownHosts reads known hosts, which the library takes from files alone, through a pipe: there may be no place for files.
func knownHosts(content []byte) (ssh.HostKeyCallback, error) {
	if len(content) > maxKnownHosts {
		return nil, failure("SourceAuth", "known_hosts of the secret in build.srcRepo.credentials is larger than %d KiB: keep the lines of the git server", maxKnownHosts>>10)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("reading known hosts: %w", err)
	}
	defer r.Close()
	_, err = w.Write(content)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("reading known hosts: %w", err)
	}
	callback, err := knownhosts.New(fmt.Sprintf("/dev/fd/%d", r.Fd()))
	if err != nil {
		return nil, failure("SourceAuth", "known_hosts of the secret in build.srcRepo.credentials cannot be read: %v", err)
	}
	return callback, nil
}

func sshFailure(ctx context.Context, to sshRemote, err error) error {
	var unknown *knownhosts.KeyError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &unknown):
		return failure("SourceAuth", "the ssh host key of %s is not among the known hosts of the secret", to.address)
	case strings.Contains(err.Error(), "unable to authenticate"): // the library has no type for it
		return failure("SourceAuth", "%s refuses the ssh key of the secret in build.srcRepo.credentials", to.address)
	}
	return fmt.Errorf("asking %s over ssh: %w", to.address, err)
}
