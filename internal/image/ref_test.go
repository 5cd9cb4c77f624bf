package image

import (
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for in, want := range map[string]struct{ full, local string }{
		"debian":                       {"docker.io/library/debian:latest", "docker.io/library/debian"},
		"openfunctiondev/sample":       {"docker.io/openfunctiondev/sample:latest", "docker.io/openfunctiondev/sample"},
		"index.docker.io/me/fn:v1":     {"docker.io/me/fn:v1", "docker.io/me/fn"},
		"ghcr.io/me/fn@" + digest:      {"ghcr.io/me/fn@" + digest, "ghcr.io/me/fn"},
		"ghcr.io/me/fn:v1@" + digest:   {"ghcr.io/me/fn@" + digest, "ghcr.io/me/fn"},
		"registry.lan:5000/fn":         {"registry.lan:5000/fn:latest", "registry.lan_5000/fn"},
		"ofn.local/docker.io/me/fn:v1": {"ofn.local/docker.io/me/fn:v1", "docker.io/me/fn"},
		"ofn.local/fn":                 {"ofn.local/fn:latest", "fn"},
	} {
		r, err := ParseRef(in)
		if err != nil || r.String() != want.full || r.LocalRepo() != want.local {
			t.Errorf("%s: %s, %s (%v), want %v", in, r, r.LocalRepo(), err, want)
		}
	}
	for _, in := range []string{"", "A/B", "a:b:c", "a@sha256:zz", "http://x/y", "a b"} {
		if _, err := ParseRef(in); reasonOf(err) != InvalidReference {
			t.Errorf("%q: %v", in, err)
		}
	}
	p := Pinned{Ref: Ref{Host: "docker.io", Repo: "me/fn", Tag: "v1"}, Digest: digest}
	back, err := ParsePinned(p.String())
	if err != nil || back.Digest != digest || back.Ref.Repo != "me/fn" {
		t.Errorf("%+v (%v)", back, err)
	}
	if _, err := ParsePinned("me/fn:v1"); reasonOf(err) != InvalidReference {
		t.Errorf("a tag is no pin: %v", err)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"debian", "a/b:c", "x.y:5000/a@sha256:" + strings.Repeat("a", 64), "[::1]:5000/a", "ofn.local/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			return
		}
		again, err := ParseRef(r.String())
		if err != nil || again != r {
			t.Errorf("%q became %s, and that %s (%v)", s, r, again, err)
		}
		if _, err := r.local(); err != nil {
			t.Errorf("%q has no place in the platform's own registry: %v", s, err)
		}
	})
}
