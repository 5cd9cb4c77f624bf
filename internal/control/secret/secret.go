// Package secret turns the secrets and configmaps that a manifest names into what a build or a run needs.
package secret

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Missing says that an object or a key that a manifest names is not there. It is the user's to mend.
type Missing struct{ Message string }

// Error is the message.
func (m *Missing) Error() string { return m.Message }

// Login is what a secret says about one host.
type Login struct {
	Username, Password, Token string
	SSHKey, KnownHosts        []byte
}

// Read reads a secret; a missing one is a *Missing.
func Read(ctx context.Context, c client.Reader, namespace, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil, &Missing{fmt.Sprintf("secret %q is not in namespace %q", name, namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading secret %s/%s: %w", namespace, name, err)
	}
	return s, nil
}

// Value reads one key of a secret or configmap.
func Value(ctx context.Context, c client.Reader, namespace, kind, name, key string) ([]byte, error) {
	data, err := Data(ctx, c, namespace, kind, name)
	if err != nil {
		return nil, err
	}
	v, ok := data[key]
	if !ok {
		return nil, &Missing{fmt.Sprintf("%s %q has no key %q", kind, name, key)}
	}
	return v, nil
}

// Data reads all keys of a "secret" or "configmap".
func Data(ctx context.Context, c client.Reader, namespace, kind, name string) (map[string][]byte, error) {
	if kind == "secret" {
		s, err := Read(ctx, c, namespace, name)
		if err != nil {
			return nil, err
		}
		return s.Data, nil
	}
	m := &corev1.ConfigMap{}
	err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, m)
	if apierrors.IsNotFound(err) {
		return nil, &Missing{fmt.Sprintf("configmap %q is not in namespace %q", name, namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading configmap %s/%s: %w", namespace, name, err)
	}
	data := map[string][]byte{}
	for k, v := range m.BinaryData {
		data[k] = v
	}
	for k, v := range m.Data {
		data[k] = []byte(v)
	}
	return data, nil
}

// LoginFor reads what a secret says about a host ("ghcr.io", "github.com"): the types dockerconfigjson, dockercfg,
// basic-auth and ssh-auth, and opaque secrets with a docker configuration or the keys username, password, token or
// ssh-privatekey. A line end after a value, which files have, is not part of it.
func LoginFor(s *corev1.Secret, host string) (Login, error) {
	if raw, ok := s.Data[corev1.DockerConfigJsonKey]; ok || s.Type == corev1.SecretTypeDockerConfigJson {
		var file struct {
			Auths map[string]dockerAuth `json:"auths"`
		}
		if err := json.Unmarshal(raw, &file); err != nil {
			return Login{}, malformed(s, err)
		}
		return docker(s, file.Auths, host)
	}
	if raw, ok := s.Data[corev1.DockerConfigKey]; ok || s.Type == corev1.SecretTypeDockercfg {
		var auths map[string]dockerAuth
		if err := json.Unmarshal(raw, &auths); err != nil {
			return Login{}, malformed(s, err)
		}
		return docker(s, auths, host)
	}
	text := func(key string) string { return strings.TrimRight(string(s.Data[key]), "\r\n") }
	l := Login{Username: text("username"), Password: text("password"), Token: text("token"),
		SSHKey: s.Data[corev1.SSHAuthPrivateKey], KnownHosts: s.Data["known_hosts"]}
	if l.Username == "" && l.Password == "" && l.Token == "" && len(l.SSHKey) == 0 {
		return l, &Missing{fmt.Sprintf("secret %q (type %s) has none of the keys username and password, token, %s, %s",
			s.Name, s.Type, corev1.SSHAuthPrivateKey, corev1.DockerConfigJsonKey)}
	}
	return l, nil
}

func malformed(s *corev1.Secret, err error) error {
	return &Missing{fmt.Sprintf("secret %q does not hold a valid docker configuration: %v", s.Name, err)}
}

type dockerAuth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// docker finds the login for a host. A key may be a host, a URL, or a host with wildcards; the plainest that fits wins.
func docker(s *corev1.Secret, auths map[string]dockerAuth, host string) (Login, error) {
	servers := slices.SortedFunc(maps.Keys(auths), func(a, b string) int {
		return cmp.Or(strings.Count(a, "*")-strings.Count(b, "*"), strings.Count(a, "/")-strings.Count(b, "/"), strings.Compare(a, b))
	})
	for _, server := range servers {
		if sameRegistry(server, host) {
			return auths[server].login(s.Name, server)
		}
	}
	return Login{}, &Missing{fmt.Sprintf("secret %q has no login for %s; it has %s", s.Name, host, strings.Join(servers, ", "))}
}

func (a dockerAuth) login(secret, server string) (Login, error) {
	l := Login{Username: a.Username, Password: a.Password, Token: a.RegistryToken}
	if a.Auth != "" && l.Username == "" {
		plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(a.Auth, "="))
		if err != nil {
			return Login{}, &Missing{fmt.Sprintf("secret %q: the auth of %s is not base64", secret, server)}
		}
		l.Username, l.Password, _ = strings.Cut(strings.TrimRight(string(plain), "\r\n\x00"), ":")
	}
	if a.IdentityToken != "" {
		l.Username, l.Password = "<token>", a.IdentityToken
	}
	return l, nil
}

// sameRegistry compares a key of a docker configuration with a registry host. Docker Hub has three names. A wildcard stands for one label, as
// in Kubernetes.
func sameRegistry(key, host string) bool {
	pattern, name := strings.Split(registryHost(key), "."), strings.Split(registryHost(host), ".")
	return slices.EqualFunc(pattern, name, func(p, n string) bool {
		ok, err := path.Match(p, n)
		return ok && err == nil
	})
}

func registryHost(s string) string {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	s, _, _ = strings.Cut(s, "/")
	switch s {
	case "index.docker.io", "registry-1.docker.io", "docker.io":
		return "docker.io"
	}
	return s
}

// ImageHost is the registry of an image reference, by the grammar of docker references.
func ImageHost(image string) string {
	first, _, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" {
		return "docker.io"
	}
	return registryHost(first)
}
