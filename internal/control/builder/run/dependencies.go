package run

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/secret"
)

// serviceAccount is the one whose secrets serve every build of its namespace, as those of a pipeline's account do.
const serviceAccount = "default"

// dependencies gathers how a build gets at private dependencies: from the secrets that the build names, then from those linked with the
// service account. A secret gives its login to the hosts that it is annotated for, the one of the source also to the source's own host,
// and the configuration files that it holds.
func (c *Controller) dependencies(ctx context.Context, b *v1beta2.Builder) (build.Dependencies, error) {
	g := gathering{}
	for _, ref := range []struct {
		secret *corev1.LocalObjectReference
		host   string
	}{{sourceSecret(b.Spec.SrcRepo), dependencyHost(b.Spec.SrcRepo)}, {b.Spec.BuilderCredentials, ""}} {
		if ref.secret == nil || ref.secret.Name == "" {
			continue
		}
		s, err := secret.Read(ctx, c.client, b.Namespace, ref.secret.Name)
		if err != nil {
			return g.found, err
		}
		if err := g.add(s, ref.host); err != nil {
			return g.found, err
		}
	}
	return g.found, c.linked(ctx, b.Namespace, &g)
}

// linked adds the secrets of the service account. The account may be missing, and so may a secret that it names: nobody refers to them here.
func (c *Controller) linked(ctx context.Context, namespace string, g *gathering) error {
	account := &corev1.ServiceAccount{}
	err := c.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: serviceAccount}, account)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading service account %s/%s: %w", namespace, serviceAccount, err)
	}
	for _, ref := range account.Secrets {
		s, err := secret.Read(ctx, c.client, namespace, ref.Name)
		if missing := (*secret.Missing)(nil); errors.As(err, &missing) {
			continue
		}
		if err != nil {
			return err
		}
		if err := g.add(s, ""); err != nil {
			return err
		}
	}
	return nil
}

// gathering is what was found so far. What comes first counts.
type gathering struct{ found build.Dependencies }

// add takes what a secret holds. implied is a host that it serves without saying so; a login that cannot be expressed is left out for that one.
func (g *gathering) add(s *corev1.Secret, implied string) error {
	for key, data := range s.Data {
		if _, have := g.found.Files[key]; !have && build.IsDependencyFile(key) {
			if g.found.Files == nil {
				g.found.Files = map[string][]byte{}
			}
			g.found.Files[key] = data
		}
	}
	hosts, err := secret.Hosts(s)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		if err := g.login(s, host); err != nil {
			return err
		}
	}
	if implied != "" && !slices.Contains(hosts, implied) {
		_ = g.login(s, implied) // the source may be all that it is for
	}
	return nil
}

func (g *gathering) login(s *corev1.Secret, host string) error {
	l, err := secret.LoginFor(s, host)
	if err != nil {
		return err
	}
	if l.Password == "" && l.Token == "" {
		return nil // a key serves ssh only, which no package manager is given
	}
	if slices.ContainsFunc(g.found.Logins, func(h build.HostLogin) bool { return h.Host == host }) {
		return nil
	}
	login := build.HostLogin{Host: host, Auth: build.Auth{Username: l.Username, Password: l.Password, Token: l.Token}}
	if err := login.Check(); err != nil {
		return &secret.Missing{Message: fmt.Sprintf("secret %q: %v", s.Name, err)}
	}
	g.found.Logins = append(g.found.Logins, login)
	return nil
}

func sourceSecret(repo *v1beta2.SourceRepo) *corev1.LocalObjectReference {
	if repo == nil {
		return nil
	}
	return repo.Credentials
}

// dependencyHost is the host of a git source, where its secret most often has the login for its dependencies too. That of a bundle is a
// registry, which has none.
func dependencyHost(repo *v1beta2.SourceRepo) string {
	if repo == nil || repo.BundleContainer != nil && repo.BundleContainer.Image != "" {
		return ""
	}
	u, err := url.Parse(repo.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "" // a key is no login for others
	}
	return u.Host
}

// builderAuth is the login for the builder image. A secret without one for its registry leaves it anonymous, as a kubelet does.
func (c *Controller) builderAuth(ctx context.Context, b *v1beta2.Builder) (build.Auth, error) {
	if b.Spec.BuilderCredentials == nil || b.Spec.BuilderCredentials.Name == "" || b.Spec.Builder == nil {
		return build.Auth{}, nil
	}
	s, err := secret.Read(ctx, c.client, b.Namespace, b.Spec.BuilderCredentials.Name)
	if err != nil {
		return build.Auth{}, err
	}
	l, err := secret.LoginFor(s, secret.ImageHost(*b.Spec.Builder))
	if missing := (*secret.Missing)(nil); errors.As(err, &missing) {
		return build.Auth{}, nil
	}
	return build.Auth(l), err
}
