package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

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

// fingerprint tells credentials for one image apart without telling them.
func (c Credentials) fingerprint(name, digest string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %q", name, digest, c.Username, c.Password, c.Token)
	return hex.EncodeToString(h.Sum(nil))
}

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
