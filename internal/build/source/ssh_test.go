package source_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/source"
)

func TestSSH(t *testing.T) {
	r := newRepo(t)
	client, key := newKey(t)
	stranger, otherKey := newKey(t)
	s := serveSSH(t, filepath.Dir(r.dir), client.PublicKey())
	right := s.known(s.host)
	for name, c := range map[string]struct {
		repo         string
		auth         build.Auth
		reason, says string
	}{
		"known host":         {"repo", build.Auth{SSHKey: key, KnownHosts: right}, "", ""},
		"unknown host":       {"repo", build.Auth{SSHKey: key}, "", ""},
		"key without end":    {"repo", build.Auth{SSHKey: bytes.TrimSpace(key), KnownHosts: right}, "", ""},
		"another host's key": {"repo", build.Auth{SSHKey: key, KnownHosts: s.known(stranger.PublicKey())}, "SourceAuth", "host key of " + s.address},
		"host is not listed": {"repo", build.Auth{SSHKey: key, KnownHosts: []byte("other.example " + strings.SplitN(string(right), " ", 2)[1])}, "SourceAuth", "known_hosts"},
		"refused key":        {"repo", build.Auth{SSHKey: otherKey, KnownHosts: right}, "SourceAuth", "refuses the ssh key of the secret"},
		"no key":             {"repo", build.Auth{KnownHosts: right}, "SourceAuth", "no ssh key was given"},
		"not a key":          {"repo", build.Auth{SSHKey: []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nx"), KnownHosts: right}, "SourceAuth", "cannot be read"},
		"passphrase":         {"repo", build.Auth{SSHKey: lockedKey(t), KnownHosts: right}, "SourceAuth", "passphrase"},
		"no repository":      {"nosuch", build.Auth{SSHKey: key, KnownHosts: right}, "SourceNotFound", "no git repository"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			src := build.Source{URL: s.url(c.repo), SubPath: "functions/one", Auth: c.auth}
			tree, err := fetcher(source.Options{}).Fetch(t.Context(), src, dir, io.Discard)
			if reason(err) != c.reason || (err == nil) != (c.reason == "") {
				t.Fatalf("got %q: %v, want %q", reason(err), err, c.reason)
			}
			if err != nil {
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want it to say %q", err, c.says)
				}
				return
			}
			if _, err := os.Stat(filepath.Join(dir, tree.SubPath, "one.go")); err != nil || tree.Result.CommitSHA != r.git("rev-parse", "HEAD") {
				t.Errorf("got %+v (%v)", tree, err)
			}
			if _, err := os.Stat(filepath.Join(dir, ".git")); !os.IsNotExist(err) {
				t.Error("the key or the repository was left in the source")
			}
		})
	}
}

// lockedKey is a key that only its passphrase opens.
func lockedKey(t *testing.T) []byte {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func TestFollowOverSSH(t *testing.T) {
	r := newRepo(t)
	client, key := newKey(t)
	s := serveSSH(t, filepath.Dir(r.dir), client.PublicKey())
	src := build.Source{URL: s.url("repo"), Revision: "main", Auth: build.Auth{SSHKey: key, KnownHosts: s.known(s.host)}}
	f := fetcher(source.Options{})
	first, err := f.Head(t.Context(), src)
	if err != nil || first != r.git("rev-parse", "HEAD") {
		t.Fatalf("the head is %s (%v)", first, err)
	}
	r.write("README.md", "changed")
	want := r.commit("second")
	if second, err := f.Head(t.Context(), src); err != nil || second != want {
		t.Fatalf("the head is %s (%v), want %s", second, err, want)
	}
	dir := t.TempDir()
	tree, err := f.Fetch(t.Context(), src, dir, io.Discard)
	if text, _ := os.ReadFile(filepath.Join(dir, "README.md")); err != nil || string(text) != "changed" || tree.Result.BranchName != "main" {
		t.Errorf("got %q, %+v (%v)", text, tree, err)
	}
}

func TestSSHUnreachable(t *testing.T) {
	newRepo(t)
	_, key := newKey(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, err = fetcher(source.Options{}).Head(t.Context(), build.Source{URL: "ssh://git@" + address + "/repo", Auth: build.Auth{SSHKey: key}})
	if reason(err) != "SourceUnreachable" || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v", err)
	}
	_, err = source.New(source.Options{Git: "/usr/bin/git"}).Head(t.Context(), build.Source{URL: "ssh://git@" + address + "/repo"})
	if reason(err) != "SourceUnreachable" || !strings.Contains(err.Error(), "openssh-client") {
		t.Errorf("without a client: got %v", err)
	}
}
