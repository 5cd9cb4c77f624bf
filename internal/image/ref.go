package image

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// LocalHost is the registry host that means the platform's own registry.
const LocalHost = "ofn.local"

// Ref is a parsed reference with everything that was left out filled in.
type Ref struct {
	Host   string // "docker.io", "registry.example.com:5000"
	Repo   string // "library/debian"
	Tag    string // empty when Digest is set
	Digest string // "sha256:…"
}

// ParseRef reads a reference as a user writes it: "debian", "ghcr.io/me/fn:v1", "me/fn@sha256:…".
func ParseRef(s string) (Ref, error) {
	parsed, err := name.ParseReference(s)
	if err != nil {
		return Ref{}, &Failure{Reason: InvalidReference, Ref: s, Err: err,
			Message: fmt.Sprintf("%q is not an image reference (want [host/]repository[:tag][@digest]): %v", s, err)}
	}
	r := Ref{Host: parsed.Context().RegistryStr(), Repo: parsed.Context().RepositoryStr()}
	if r.Host == name.DefaultRegistry {
		r.Host = "docker.io"
	}
	switch p := parsed.(type) {
	case name.Digest:
		r.Digest = p.DigestStr()
	case name.Tag:
		r.Tag = p.TagStr()
	}
	return r, nil
}

// Name is the reference without tag and digest.
func (r Ref) Name() string { return r.Host + "/" + r.Repo }

// String is the full reference.
func (r Ref) String() string {
	if r.Digest != "" {
		return r.Name() + "@" + r.Digest
	}
	return r.Name() + ":" + r.Tag
}

// LocalRepo is the repository of the platform's own registry that keeps images of this name: the whole name, host
// included, so that images of one name from two registries never meet. ofn.local itself adds nothing.
func (r Ref) LocalRepo() string {
	if r.Host == LocalHost {
		return r.Repo
	}
	return localHost(r.Host) + "/" + r.Repo
}

// localHost writes a host as a component of a repository's name, where colons and brackets may not be. No host has an underscore.
func localHost(host string) string {
	host = strings.ToLower(host)
	if strings.HasPrefix(host, "[") {
		return "ip6_" + hex.EncodeToString([]byte(host))
	}
	return strings.ReplaceAll(host, ":", "_")
}

// local is the reference inside the platform's own registry.
func (r Ref) local() (name.Reference, error) { return r.at(LocalHost + "/" + r.LocalRepo()) }

// remote is the reference at its own registry.
func (r Ref) remote(options ...name.Option) (name.Reference, error) {
	return r.at(r.Name(), options...)
}

func (r Ref) at(repo string, options ...name.Option) (name.Reference, error) {
	if r.Digest != "" {
		return name.NewDigest(repo+"@"+r.Digest, options...)
	}
	return name.NewTag(repo+":"+r.Tag, options...)
}

// Pinned is an image found: Ref is how it was asked for, Digest is that of the image for this machine.
type Pinned struct {
	Ref    Ref
	Digest string // "sha256:…"
}

// String is "host/repository@digest".
func (p Pinned) String() string { return p.byDigest().String() }

func (p Pinned) byDigest() Ref { return Ref{Host: p.Ref.Host, Repo: p.Ref.Repo, Digest: p.Digest} }

// ParsePinned reads what String wrote.
func ParsePinned(s string) (Pinned, error) {
	r, err := ParseRef(s)
	if err != nil {
		return Pinned{}, err
	}
	if r.Digest == "" {
		return Pinned{}, &Failure{Reason: InvalidReference, Ref: s, Message: fmt.Sprintf("image %s is not pinned by a digest", r)}
	}
	return Pinned{Ref: r, Digest: r.Digest}, nil
}
