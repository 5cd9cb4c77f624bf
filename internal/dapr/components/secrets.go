package components

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/secretstores"
	"github.com/dapr/kit/logger"
)

// environment is secretstores.local.env over the variables that the platform gives out, never its own environment.
type environment struct {
	all    []string
	prefix string
}

func newEnvironment(f *Factory, _ logger.Logger) any { return &environment{all: f.Environ} }

func (e *environment) Init(_ context.Context, m secretstores.Metadata) error {
	e.prefix, _ = m.GetProperty("prefix")
	return nil
}

func (e *environment) GetComponentMetadata() metadata.MetadataMap {
	return metadata.MetadataMap{"prefix": metadata.MetadataField{Type: "string"}}
}

func (e *environment) Features() []secretstores.Feature { return nil }
func (e *environment) Close() error                     { return nil }

func (e *environment) GetSecret(_ context.Context, req secretstores.GetSecretRequest) (secretstores.GetSecretResponse, error) {
	for _, kv := range e.all {
		if k, v, _ := strings.Cut(kv, "="); k == e.prefix+req.Name {
			return secretstores.GetSecretResponse{Data: map[string]string{req.Name: v}}, nil
		}
	}
	return secretstores.GetSecretResponse{Data: map[string]string{req.Name: ""}}, nil
}

func (e *environment) BulkGetSecret(context.Context, secretstores.BulkGetSecretRequest) (secretstores.BulkGetSecretResponse, error) {
	all := map[string]map[string]string{}
	for _, kv := range e.all {
		k, v, _ := strings.Cut(kv, "=")
		if name, ok := strings.CutPrefix(k, e.prefix); ok && name != "" {
			all[name] = map[string]string{name: v}
		}
	}
	return secretstores.BulkGetSecretResponse{Data: all}, nil
}

// platformSecrets is secretstores.kubernetes: secrets of one namespace, asked of the platform. The namespace of each request is
// in its metadata, where the runtime puts the app's own.
type platformSecrets struct{ secrets Secrets }

func newPlatformSecrets(f *Factory, _ logger.Logger) any { return &platformSecrets{f.Secrets} }

func (p *platformSecrets) Init(context.Context, secretstores.Metadata) error {
	if p.secrets == nil {
		return errors.New("this platform offers no secrets to functions")
	}
	return nil
}

func (p *platformSecrets) GetComponentMetadata() metadata.MetadataMap { return nil }
func (p *platformSecrets) Features() []secretstores.Feature {
	return []secretstores.Feature{secretstores.FeatureMultipleKeyValuesPerSecret}
}
func (p *platformSecrets) Close() error { return nil }

// errNoNamespace refuses requests of nobody: to the API, no namespace is all of them.
var errNoNamespace = errors.New("the request names no namespace")

func (p *platformSecrets) GetSecret(ctx context.Context, req secretstores.GetSecretRequest) (secretstores.GetSecretResponse, error) {
	ns := req.Metadata["namespace"]
	if ns == "" {
		return secretstores.GetSecretResponse{}, errNoNamespace
	}
	data, err := p.secrets.Secret(ctx, ns, req.Name)
	if err == nil && data == nil {
		err = fmt.Errorf("there is no secret %q in namespace %q", req.Name, ns)
	}
	return secretstores.GetSecretResponse{Data: data}, err
}

func (p *platformSecrets) BulkGetSecret(ctx context.Context, req secretstores.BulkGetSecretRequest) (secretstores.BulkGetSecretResponse, error) {
	if req.Metadata["namespace"] == "" {
		return secretstores.BulkGetSecretResponse{}, errNoNamespace
	}
	data, err := p.secrets.Secrets(ctx, req.Metadata["namespace"])
	return secretstores.BulkGetSecretResponse{Data: data}, err
}
