package build_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
)

func TestHome(t *testing.T) {
	ada := build.HostLogin{Host: "git.example.com", Auth: build.Auth{Username: "ada", Password: "p4ss"}}
	token := build.HostLogin{Host: "npm.example.com", Auth: build.Auth{Token: "t0ken"}}
	for name, c := range map[string]struct {
		d    build.Dependencies
		want map[string]string
	}{
		"nothing": {build.Dependencies{}, map[string]string{}},
		"logins": {build.Dependencies{Logins: []build.HostLogin{ada, token}}, map[string]string{
			".netrc": "machine git.example.com login ada password p4ss\nmachine npm.example.com login oauth2 password t0ken\n",
			".npmrc": "//git.example.com/:_auth=YWRhOnA0c3M=\n//npm.example.com/:_authToken=t0ken\n",
		}},
		"port": {build.Dependencies{Logins: []build.HostLogin{{Host: "h:8443", Auth: build.Auth{Token: "t"}}}}, map[string]string{
			".netrc": "machine h:8443 login oauth2 password t\nmachine h login oauth2 password t\n",
			".npmrc": "//h:8443/:_authToken=t\n",
		}},
		"files": {build.Dependencies{Files: map[string][]byte{".npmrc": []byte("a"), "pip.conf": []byte("b"), "settings.xml": []byte("c"), ".ssh/rc": []byte("d")}},
			map[string]string{".npmrc": "a", ".config/pip/pip.conf": "b", ".m2/settings.xml": "c"}},
		// The first machine of a .netrc counts, and the last line of a .npmrc.
		"the user's own files count": {build.Dependencies{Logins: []build.HostLogin{token}, Files: map[string][]byte{".netrc": []byte("mine"), ".npmrc": []byte("mine")}},
			map[string]string{".netrc": "mine\nmachine npm.example.com login oauth2 password t0ken\n", ".npmrc": "//npm.example.com/:_authToken=t0ken\nmine\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := map[string]string{}
			for k, v := range c.d.Home() {
				text[k] = string(v)
			}
			if !maps.Equal(text, c.want) {
				t.Errorf("got %q, want %q", text, c.want)
			}
			if c.d.Empty() != (len(c.want) == 0) {
				t.Errorf("Empty is %v", c.d.Empty())
			}
		})
	}
}

// A login must not be able to say something about another host.
func TestHomeRefuses(t *testing.T) {
	for _, a := range []build.HostLogin{
		{Host: "h", Auth: build.Auth{Username: "a", Password: "p\nmachine other login x password y"}},
		{Host: "h", Auth: build.Auth{Username: "a b", Password: "p"}},
		{Host: "h", Auth: build.Auth{Username: "a", Password: `p"q`}},
		{Host: "h i", Auth: build.Auth{Token: "t"}},
		{Host: "", Auth: build.Auth{Token: "t"}},
		{Host: "h", Auth: build.Auth{Username: "a"}},
	} {
		var f *build.Failure
		if err := a.Check(); !errors.As(err, &f) || f.Reason != "CredentialsInvalid" || strings.Contains(err.Error(), "other") {
			t.Errorf("%q: %v", a.Host, err)
		}
		if home := (build.Dependencies{Logins: []build.HostLogin{a}}).Home(); len(home) != 0 {
			t.Errorf("%q: home is %q", a.Host, home)
		}
	}
}

// However a request is printed, what is secret of it is not.
func TestSecretsAreNotPrinted(t *testing.T) {
	auth := build.Auth{Username: "ada", Password: "s3cret", Token: "s3cret", SSHKey: []byte("s3cret")}
	r := build.Request{Source: build.Source{Auth: auth}, Output: build.Output{Auth: auth}, BuilderAuth: auth,
		Dependencies: build.Dependencies{Logins: []build.HostLogin{{Host: "h", Auth: auth}}, Files: map[string][]byte{".npmrc": []byte("s3cret")}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{r, &r} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, "s3cret") || strings.Contains(text, "0x73, 0x33") || strings.Contains(text, "[115 51") {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
}
