package source

import (
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
)

func TestParseRemote(t *testing.T) {
	f := New(Options{})
	for raw, want := range map[string]remote{
		"https://github.com/a/b.git":      {scheme: "https", host: "github.com"},
		"http://127.0.0.1:3000/a":         {scheme: "http", host: "127.0.0.1:3000"},
		"ssh://git@host.example:2222/a/b": {scheme: "ssh", host: "host.example:2222"},
		"git@github.com:a/b.git":          {scheme: "ssh", host: "github.com"},
	} {
		got, err := f.parseRemote(raw)
		want.url = raw
		if err != nil || got != want {
			t.Errorf("%s: got %+v (%v), want %+v", raw, got, err, want)
		}
	}
}

func TestSSHCommandIsQuoted(t *testing.T) {
	r := &repository{opts: Options{SSH: "/usr/bin/ssh"}, state: "/tmp/it's; touch x", auth: build.Auth{SSHKey: []byte("k"), KnownHosts: []byte("h")}}
	got := r.sshCommand()
	for _, want := range []string{`-i '/tmp/it'\''s; touch x/key'`, "StrictHostKeyChecking=yes", "BatchMode=yes", "-F /dev/null"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %s in %s", want, got)
		}
	}
}

func FuzzParseRefs(f *testing.F) {
	f.Add("ref: refs/heads/main\tHEAD\nabc\tHEAD\nabc\trefs/heads/main\ndef\trefs/tags/v1\nabc\trefs/tags/v1^{}\n", "main")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, out, revision string) {
		got, err := parseRefs(out).find(build.Source{Revision: revision})
		if err == nil && got.branch != "" && revision == "" && got.name != "HEAD" {
			t.Errorf("the default branch is %+v", got)
		}
	})
}

func FuzzRemote(f *testing.F) {
	for _, s := range []string{"https://h/p", "git@h:p", "-x@h:p", "file:///etc", "ext::sh", "a@-b:c"} {
		f.Add(s)
	}
	fetcher := New(Options{})
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := fetcher.parseRemote(raw)
		if err != nil {
			return
		}
		if strings.HasPrefix(r.url, "-") || strings.HasPrefix(r.host, "-") || r.scheme == "file" {
			t.Errorf("%q was accepted as %+v", raw, r)
		}
	})
}
