package run

import (
	"context"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/secret"
)

// Source resolves where the code is and the login for it. A secret that is not there is a *secret.Missing.
func Source(ctx context.Context, c client.Reader, namespace string, repo *v1beta2.SourceRepo) (build.Source, error) {
	if repo == nil {
		return build.Source{}, &secret.Missing{Message: "build.srcRepo is missing: give the url of a git repository or a bundleContainer"}
	}
	s := build.Source{URL: repo.URL}
	host := sourceHost(repo.URL)
	if repo.BundleContainer != nil && repo.BundleContainer.Image != "" {
		s.Bundle, host = repo.BundleContainer.Image, secret.ImageHost(repo.BundleContainer.Image)
	}
	if repo.Revision != nil {
		s.Revision = *repo.Revision
	}
	if repo.SourceSubPath != nil {
		s.SubPath = *repo.SourceSubPath
	}
	if repo.Credentials == nil || repo.Credentials.Name == "" {
		return s, nil
	}
	var err error
	s.Auth, err = login(ctx, c, namespace, repo.Credentials.Name, host)
	return s, err
}

func login(ctx context.Context, c client.Reader, namespace, name, host string) (build.Auth, error) {
	s, err := secret.Read(ctx, c, namespace, name)
	if err != nil {
		return build.Auth{}, err
	}
	l, err := secret.LoginFor(s, host)
	return build.Auth(l), err
}

// params resolves the parameters of the strategy.
func (c *Controller) params(ctx context.Context, b *v1beta2.Builder) (map[string]build.Param, error) {
	if b.Spec.Shipwright == nil || len(b.Spec.Shipwright.Params) == 0 {
		return nil, nil
	}
	out := map[string]build.Param{}
	for _, p := range b.Spec.Shipwright.Params {
		if p == nil {
			continue
		}
		value, err := c.single(ctx, b.Namespace, p.SingleValue)
		if err != nil {
			return nil, err
		}
		param := build.Param{Value: value}
		for _, v := range p.Values {
			value, err := c.single(ctx, b.Namespace, v)
			if err != nil {
				return nil, err
			}
			param.Values = append(param.Values, value)
		}
		out[p.Name] = param
	}
	return out, nil
}

func (c *Controller) single(ctx context.Context, namespace string, v v1beta2.SingleValue) (string, error) {
	ref, kind, placeholder := v.ConfigMapValue, "configmap", "${CONFIGMAP_VALUE}"
	if v.SecretValue != nil {
		ref, kind, placeholder = v.SecretValue, "secret", "${SECRET_VALUE}"
	}
	if ref == nil {
		if v.Value == nil {
			return "", nil
		}
		return *v.Value, nil
	}
	data, err := secret.Value(ctx, c.client, namespace, kind, ref.Name, ref.Key)
	if err != nil {
		return "", err
	}
	if ref.Format != nil && *ref.Format != "" {
		return strings.ReplaceAll(*ref.Format, placeholder, string(data)), nil
	}
	return string(data), nil
}
