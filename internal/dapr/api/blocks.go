package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/configuration"
	"github.com/dapr/components-contrib/secretstores"
	"github.com/dapr/dapr/pkg/messages"
	"github.com/dapr/dapr/pkg/messages/errorcodes"
	"google.golang.org/grpc/codes"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/dapr/runtime"
)

// invokeBinding calls an output binding. The answer may carry metadata even with an error.
func (c *caller) invokeBinding(ctx context.Context, name string, req *bindings.InvokeRequest) (*bindings.InvokeResponse, error) {
	wrong := func(err any) error {
		return newFault(errorcodes.BindingInvokeOutputBinding, http.StatusInternalServerError, codes.Internal, messages.ErrInvokeOutputBinding, name, err)
	}
	l, err := c.o.Runtime.Acquire(ctx, c.app, name)
	var missing *runtime.NotFound
	if errors.As(err, &missing) && !missing.OutOfScope || (err == nil && l.Output == nil) {
		release(l)
		return nil, wrong("couldn't find output binding " + name)
	}
	if err != nil {
		return nil, wrong(err)
	}
	defer l.Release()
	if req.Operation == "" {
		return nil, wrong("operation field is missing from request")
	}
	known := l.Output.Operations()
	for _, op := range known {
		if op == req.Operation {
			if err := guard(l, req); err != nil {
				return nil, wrong(err)
			}
			resp, err := l.Output.Invoke(ctx, req)
			c.o.Runtime.Published(c.app, name, err)
			if err != nil {
				return resp, wrong(err)
			}
			return resp, nil
		}
	}
	names := make([]string, len(known))
	for i, op := range known {
		names[i] = string(op)
	}
	return nil, wrong("binding " + name + " does not support operation " + string(req.Operation) + ". supported operations:" + strings.Join(names, " "))
}

// guard refuses what would reach files of the machine.
func guard(l *runtime.Lease, req *bindings.InvokeRequest) error {
	if components.Canonical(l.Spec.Type) != "bindings.aws.s3" {
		return nil
	}
	for k := range req.Metadata {
		if strings.EqualFold(k, "filePath") {
			return errors.New("metadata filePath is not offered: a function has no files in common with the platform; send the data")
		}
	}
	var doc any
	if strings.HasPrefix(string(req.Operation), "bulk") && json.Unmarshal(req.Data, &doc) == nil && names(doc, "filePath") {
		return errors.New("filePath is not offered: a function has no files in common with the platform")
	}
	return nil
}

// names tells whether a JSON document has a field of that name anywhere, as encoding/json matches names.
func names(doc any, field string) bool {
	switch v := doc.(type) {
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return names(one, field) })
	case map[string]any:
		for k, one := range v {
			if strings.EqualFold(k, field) || names(one, field) {
				return true
			}
		}
	}
	return false
}

// secretStore lends a secret store.
func (c *caller) secretStore(ctx context.Context, name string) (*runtime.Lease, error) {
	l, err := c.o.Runtime.Acquire(ctx, c.app, name)
	var missing *runtime.NotFound
	if errors.As(err, &missing) || (err == nil && l.Secrets == nil) {
		release(l)
		if !c.has("secretstores.") {
			return nil, messages.ErrSecretStoreNotConfigured
		}
		return nil, messages.ErrSecretStoreNotFound.WithFormat(name)
	}
	if err != nil {
		return nil, newFault(errorcodes.SecretGet, http.StatusInternalServerError, codes.Internal, "secret store %s is not ready: %v", name, err)
	}
	return l, nil
}

// ownNamespace makes a request to the platform's secrets one of the app's namespace; another one is refused.
func (c *caller) ownNamespace(l *runtime.Lease, key string, meta map[string]string) (map[string]string, error) {
	if l.Spec.Type != "secretstores.kubernetes" {
		return meta, nil
	}
	if ns := meta["namespace"]; ns != "" && ns != c.app.Namespace {
		return nil, messages.ErrSecretPermissionDenied.WithFormat(key, l.Spec.Name.Name)
	}
	own := maps.Clone(meta)
	if own == nil {
		own = map[string]string{}
	}
	own["namespace"] = c.app.Namespace // whatever was said: an empty one would be all of them
	return own, nil
}

func (c *caller) getSecret(ctx context.Context, name, key string, meta map[string]string) (map[string]string, error) {
	l, err := c.secretStore(ctx, name)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	if meta, err = c.ownNamespace(l, key, meta); err != nil {
		return nil, err
	}
	got, err := l.Secrets.GetSecret(ctx, secretstores.GetSecretRequest{Name: key, Metadata: meta})
	if err != nil {
		return nil, messages.ErrSecretGet.WithFormat(key, name, err.Error())
	}
	return got.Data, nil
}

func (c *caller) getSecrets(ctx context.Context, name string, meta map[string]string) (map[string]map[string]string, error) {
	l, err := c.secretStore(ctx, name)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	if meta, err = c.ownNamespace(l, "*", meta); err != nil {
		return nil, err
	}
	got, err := l.Secrets.BulkGetSecret(ctx, secretstores.BulkGetSecretRequest{Metadata: meta})
	if err != nil {
		return nil, messages.ErrBulkSecretGet.WithFormat(name, err)
	}
	return got.Data, nil
}

// configurationStore lends a configuration store.
func (c *caller) configurationStore(ctx context.Context, name string) (*runtime.Lease, error) {
	if !c.has("configuration.") {
		return nil, newFault(errorcodes.ConfigurationStoreNotConfigured, http.StatusInternalServerError, codes.FailedPrecondition, messages.ErrConfigurationStoresNotConfigured)
	}
	l, err := c.o.Runtime.Acquire(ctx, c.app, name)
	var missing *runtime.NotFound
	if errors.As(err, &missing) || (err == nil && l.Configuration == nil) {
		release(l)
		return nil, newFault(errorcodes.ConfigurationStoreNotFound, http.StatusBadRequest, codes.InvalidArgument, messages.ErrConfigurationStoreNotFound, name)
	}
	if err != nil {
		return nil, newFault(errorcodes.ConfigurationGet, http.StatusInternalServerError, codes.Internal, "configuration store %s is not ready: %v", name, err)
	}
	return l, nil
}

func (c *caller) getConfiguration(ctx context.Context, name string, keys []string, meta map[string]string) (map[string]*configuration.Item, error) {
	l, err := c.configurationStore(ctx, name)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	got, err := l.Configuration.Get(ctx, &configuration.GetRequest{Keys: keys, Metadata: meta})
	if err != nil {
		return nil, newFault(errorcodes.ConfigurationGet, http.StatusInternalServerError, codes.Internal, messages.ErrConfigurationGet, keys, name, err)
	}
	if got == nil {
		return nil, nil
	}
	return got.Items, nil
}
