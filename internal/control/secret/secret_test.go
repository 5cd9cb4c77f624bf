package secret_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/secret"
)

func TestLoginFor(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("u:p:q"))
	const config, cfg = corev1.SecretTypeDockerConfigJson, corev1.SecretTypeDockercfg
	for name, test := range map[string]struct {
		kind corev1.SecretType
		data map[string]string
		host string
		want any // a Login or the message
	}{
		"username and password": {config, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"username": "u", "password": "p"}}}`}, "ghcr.io", login{"u", "p", ""}},
		"auth":                  {config, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"auth": "` + auth + `"}}}`}, "ghcr.io", login{"u", "p:q", ""}},
		"auth without padding":  {config, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"auth": "` + strings.TrimRight(auth, "=") + `"}}}`}, "ghcr.io", login{"u", "p:q", ""}},
		"not base64":            {config, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"auth": "%"}}}`}, "ghcr.io", `secret "s": the auth of ghcr.io is not base64`},
		"identity token":        {config, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"auth": "` + auth + `", "identitytoken": "i"}}}`}, "ghcr.io", login{"<token>", "i", ""}},
		"registry token":        {config, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"registrytoken": "r"}}}`}, "ghcr.io", login{"", "", "r"}},
		"hub":                   {config, map[string]string{".dockerconfigjson": `{"auths": {"https://index.docker.io/v1/": {"username": "u", "password": "p"}}}`}, "docker.io", login{"u", "p", ""}},
		"port":                  {config, map[string]string{".dockerconfigjson": `{"auths": {"http://localhost:5000": {"username": "u"}}}`}, "localhost:5000", login{"u", "", ""}},
		"wildcard":              {config, map[string]string{".dockerconfigjson": `{"auths": {"*.ecr.example": {"username": "w"}, "a.ecr.example": {"username": "u"}}}`}, "b.ecr.example", login{"w", "", ""}},
		"wildcard is one label": {config, map[string]string{".dockerconfigjson": `{"auths": {"*.example": {"username": "w"}}}`}, "b.ecr.example", `secret "s" has no login for b.ecr.example`},
		"a host alike":          {config, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"username": "w"}}}`}, "ghcr.io.evil.example", `secret "s" has no login for ghcr.io.evil.example`},
		"wildcard comes last":   {config, map[string]string{".dockerconfigjson": `{"auths": {"*.ecr.example": {"username": "w"}, "a.ecr.example": {"username": "u"}}}`}, "a.ecr.example", login{"u", "", ""}},
		"a path comes later":    {config, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io/a": {"username": "a"}, "ghcr.io": {"username": "u"}}}`}, "ghcr.io", login{"u", "", ""}},
		"another host":          {config, map[string]string{".dockerconfigjson": `{"auths": {"z": {}, "b": {}, "a": {}, "c": {}, "d": {}}}`}, "ghcr.io", `secret "s" has no login for ghcr.io; it has a, b, c, d, z`},
		"not JSON":              {config, map[string]string{".dockerconfigjson": `{`}, "ghcr.io", `secret "s" does not hold a valid docker configuration`},
		"without the key":       {config, nil, "ghcr.io", `secret "s" does not hold a valid docker configuration`},
		"dockercfg":             {cfg, map[string]string{".dockercfg": `{"ghcr.io": {"username": "u", "password": "p"}}`}, "ghcr.io", login{"u", "p", ""}},
		"dockercfg, not JSON":   {cfg, map[string]string{".dockercfg": `[]`}, "ghcr.io", `secret "s" does not hold a valid docker configuration`},
		"opaque with a config":  {corev1.SecretTypeOpaque, map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"username": "u"}}}`}, "ghcr.io", login{"u", "", ""}},
		"basic":                 {corev1.SecretTypeBasicAuth, map[string]string{"username": "u", "password": "p"}, "github.com", login{"u", "p", ""}},
		"token from a file":     {corev1.SecretTypeOpaque, map[string]string{"token": "t\r\n"}, "github.com", login{"", "", "t"}},
		"nothing":               {corev1.SecretTypeOpaque, map[string]string{"pass": "p"}, "github.com", `secret "s" (type Opaque) has none of the keys username and password, token, ssh-privatekey`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Type: test.kind, Data: map[string][]byte{}}
			for k, v := range test.data {
				s.Data[k] = []byte(v)
			}
			for range 5 { // the order of maps must not show
				got, err := secret.LoginFor(s, test.host)
				switch want := test.want.(type) {
				case string:
					var missing *secret.Missing
					if !errors.As(err, &missing) || !strings.HasPrefix(err.Error(), want) {
						t.Fatalf("login %+v, error %v", got, err)
					}
				case login:
					if err != nil || (login{got.Username, got.Password, got.Token}) != want {
						t.Fatalf("login %+v, error %v", got, err)
					}
				}
			}
		})
	}
}

type login struct{ username, password, token string }

func TestSSH(t *testing.T) {
	s := &corev1.Secret{Type: corev1.SecretTypeSSHAuth, Data: map[string][]byte{"ssh-privatekey": []byte("key\n"), "known_hosts": []byte("hosts\n")}}
	l, err := secret.LoginFor(s, "github.com")
	if err != nil || string(l.SSHKey) != "key\n" || string(l.KnownHosts) != "hosts\n" {
		t.Errorf("login %+v, error %v", l, err)
	}
}

func TestImageHost(t *testing.T) {
	for image, want := range map[string]string{
		"fn": "docker.io", "o/fn": "docker.io", "docker.io/o/fn": "docker.io", "index.docker.io/o/fn:v1": "docker.io",
		"ghcr.io/o/fn@sha256:1": "ghcr.io", "localhost/fn": "localhost", "localhost:5000/fn": "localhost:5000", "registry:5000/a/b": "registry:5000", "fn:v1": "docker.io",
	} {
		if got := secret.ImageHost(image); got != want {
			t.Errorf("%s is at %s, want %s", image, got, want)
		}
	}
}

func TestValue(t *testing.T) {
	c := controltest.New(t,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Data: map[string][]byte{"k": []byte("v")}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}, Data: map[string]string{"k": "w"}, BinaryData: map[string][]byte{"b": {0}}})
	for _, test := range []struct{ kind, name, key, want, message string }{
		{"secret", "s", "k", "v", ""}, {"configmap", "m", "k", "w", ""}, {"configmap", "m", "b", "\x00", ""},
		{"secret", "s", "no", "", `secret "s" has no key "no"`}, {"configmap", "m", "no", "", `configmap "m" has no key "no"`},
		{"secret", "no", "k", "", `secret "no" is not in namespace "ns"`}, {"configmap", "no", "k", "", `configmap "no" is not in namespace "ns"`},
	} {
		got, err := secret.Value(context.Background(), c, "ns", test.kind, test.name, test.key)
		var missing *secret.Missing
		if string(got) != test.want || (err != nil) != (test.message != "") || err != nil && (!errors.As(err, &missing) || err.Error() != test.message) {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
	for kind := range map[string]bool{"secret": true, "configmap": true} {
		_, err := secret.Value(context.Background(), broken{c}, "ns", kind, "s", "k")
		var missing *secret.Missing
		if !errors.Is(err, errBroken) || errors.As(err, &missing) {
			t.Errorf("%s of a broken server: %v", kind, err)
		}
	}
}

var errBroken = errors.New("unplugged")

// broken answers nothing.
type broken struct{ client.Reader }

func (broken) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errBroken
}

func FuzzLoginFor(f *testing.F) {
	f.Add(".dockerconfigjson", []byte(`{"auths": {"[a": {"auth": "dTpw"}}}`), "ghcr.io")
	f.Add(".dockercfg", []byte(`{"*": {}}`), "")
	f.Fuzz(func(t *testing.T, key string, data []byte, host string) {
		l, err := secret.LoginFor(&corev1.Secret{Data: map[string][]byte{key: data}}, host)
		var missing *secret.Missing
		if err != nil && (!errors.As(err, &missing) || l.Username != "" || l.Password != "" || l.Token != "") {
			t.Errorf("login %+v, error %v", l, err)
		}
	})
}
