package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-containerregistry/pkg/authn"
)

// Credentials authenticate to one registry. The zero value is anonymous.
type Credentials struct {
	Username, Password string
	Token              string // bearer token, instead of the two above
	// Secret names where they came from, for messages: "secret default/push". It may be empty.
	Secret string
}

// Anonymous tells whether there is nothing to authenticate with.
func (c Credentials) Anonymous() bool { return c.Username == "" && c.Password == "" && c.Token == "" }

func (c Credentials) authenticator() authn.Authenticator {
	if c.Anonymous() {
		return authn.Anonymous
	}
	return authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password, RegistryToken: c.Token})
}

// refused says what to do when a registry did not let these credentials in.
func (c Credentials) refused(host string) string {
	const kinds = "kubernetes.io/dockerconfigjson or kubernetes.io/basic-auth"
	switch {
	case c.Anonymous() && c.Secret != "":
		return fmt.Sprintf("%s refused anonymous access, and %s holds no credentials for it", host, c.Secret)
	case c.Anonymous():
		return fmt.Sprintf("%s refused anonymous access: the image does not exist, or needs credentials; name a secret of type %s that holds them", host, kinds)
	case c.Secret != "":
		return fmt.Sprintf("%s refused the credentials of %s (user %q)", host, c.Secret, c.Username)
	}
	return fmt.Sprintf("%s refused the credentials of user %q", host, c.Username)
}

// CredentialsFromSecret reads the credentials for a registry host out of a Kubernetes secret of type
// kubernetes.io/dockerconfigjson, kubernetes.io/dockercfg or kubernetes.io/basic-auth; an Opaque one is read by its keys.
// Credentials without content mean that the secret knows nothing of the host.
func CredentialsFromSecret(typ string, data map[string][]byte, host string) (Credentials, error) {
	switch {
	case data[".dockerconfigjson"] != nil:
		return fromDockerConfig(data[".dockerconfigjson"], host)
	case data[".dockercfg"] != nil:
		return fromDockerConfig(fmt.Appendf(nil, `{"auths":%s}`, data[".dockercfg"]), host)
	case data["username"] != nil || data["password"] != nil:
		return Credentials{Username: string(data["username"]), Password: string(data["password"])}, nil
	case data["token"] != nil:
		return Credentials{Token: string(data["token"])}, nil
	}
	return Credentials{}, fmt.Errorf("a secret of type %q must have the key .dockerconfigjson, or username and password", typ)
}

// fromDockerConfig finds the entry for host in a docker config.json.
func fromDockerConfig(data []byte, host string) (Credentials, error) {
	if !json.Valid(data) {
		return Credentials{}, fmt.Errorf("the docker config in the secret is not valid JSON")
	}
	file := configfile.New("")
	if err := file.LoadFromReader(bytes.NewReader(data)); err != nil {
		return Credentials{}, fmt.Errorf("the docker config in the secret: %w", err)
	}
	best := ""
	for key := range file.AuthConfigs {
		if matchesHost(key, host) && (best == "" || len(key) > len(best) && !strings.Contains(key, "*")) {
			best = key
		}
	}
	a, ok := file.AuthConfigs[best]
	if !ok {
		return Credentials{}, nil
	}
	c := Credentials{Username: a.Username, Password: a.Password, Token: a.RegistryToken}
	if a.IdentityToken != "" {
		c.Username, c.Password = "<token>", a.IdentityToken
	}
	return c, nil
}

// matchesHost tells whether a key of a docker config, a host or URL with a possible wildcard per label, means the host.
func matchesHost(key, host string) bool {
	_, rest, found := strings.Cut(key, "://")
	if !found {
		rest = key
	}
	pattern, _, _ := strings.Cut(rest, "/")
	return sameHub(pattern) && sameHub(host) || globHost(strings.ToLower(pattern), strings.ToLower(host))
}

// sameHub tells the names of Docker Hub.
func sameHub(host string) bool {
	return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io"
}

func globHost(pattern, host string) bool {
	p, h := strings.Split(pattern, "."), strings.Split(host, ".")
	if len(p) != len(h) {
		return false
	}
	for i := range p {
		if ok, err := path.Match(p[i], h[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
