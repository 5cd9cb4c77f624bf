package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Settings say how an installation is to work on its cluster, by the names that v1beta2 has for them. They are kept on the cluster: one
// that a later installation does not have stays, one that it has empty goes.
type Settings map[string]string

// Check refuses settings of which no function could live.
func (s Settings) Check() error {
	if registry := s[v1beta2.ClientsRegistry]; registry != "" {
		_, err := name.NewRepository(registry+"/namespace/function", name.StrictValidation)
		if err == nil && strings.Contains(registry, "://") {
			err = errors.New("it is not a URL")
		}
		if err != nil {
			return fmt.Errorf("--registry %s: want the host of a registry and perhaps the beginning of a name, such as registry.example.com/functions: %w", registry, err)
		}
	}
	for _, host := range list(s[v1beta2.ClientsInsecure]) {
		if strings.Contains(host, "/") {
			return fmt.Errorf("--insecure-registry %s: want a host, with a port where it has one", host)
		}
	}
	if domain := s[v1beta2.ClientsDomain]; domain != "" {
		if problems := validation.IsDNS1123Subdomain(hostOf(domain)); len(problems) > 0 {
			return fmt.Errorf("--domain %s: %s", domain, problems[0])
		}
	}
	return nil
}

func list(joined string) []string {
	return slices.DeleteFunc(strings.Split(joined, ","), func(s string) bool { return s == "" })
}

func hostOf(domain string) string {
	if host, _, err := net.SplitHostPort(domain); err == nil {
		return host
	}
	return domain
}

// kept adds what the cluster has of settings that are not said.
func (i *Installer) kept(ctx context.Context, said Settings) (Settings, error) {
	o, err := i.get(ctx, configMaps, Namespace, v1beta2.ClientsConfig)
	if err != nil {
		return nil, explained(err)
	}
	out := Settings{}
	if o != nil {
		there, _, _ := unstructured.NestedStringMap(o.Object, "data")
		maps.Copy(out, there)
	}
	maps.Copy(out, said)
	maps.DeleteFunc(out, func(_, v string) bool { return v == "" })
	return out, nil
}

// lay makes the objects of an installation work as the settings say, and adds those by which others learn of them.
func (s Settings) lay(objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if !slices.ContainsFunc(slices.Collect(maps.Values(s)), func(v string) bool { return v != "" }) {
		return objects, nil
	}
	insecure, domain := flags("insecure-registry", list(s[v1beta2.ClientsInsecure])...), s[v1beta2.ClientsDomain]
	operator := slices.Concat(flags("builder-image", list(s[v1beta2.ClientsBuilders])...), insecure)
	front := insecure
	if domain != "" {
		operator = append(operator, flags("domain", domain)...)
		front = slices.Concat(front, flags("domain", hostOf(domain)))
	}
	for _, o := range objects {
		var err error
		switch {
		case o.GetKind() != deployments.Kind:
		case o.GetName() == Operator:
			err = addArgs(o, operator)
		case o.GetName() == Gateway:
			err = addArgs(o, front)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(objects, s.objects()...), nil
}

func flags(name string, values ...string) []string {
	var out []string
	for _, v := range values {
		out = append(out, "--"+name+"="+v)
	}
	return out
}

// addArgs adds arguments to the one container of a Deployment.
func addArgs(deployment *unstructured.Unstructured, more []string) error {
	path := []string{"spec", "template", "spec", "containers"}
	containers, _, err := unstructured.NestedSlice(deployment.Object, path...)
	if err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", deployment.GetName(), err)
	}
	if len(containers) != 1 {
		return fmt.Errorf("the manifest of %s has %d containers, not one", deployment.GetName(), len(containers))
	}
	c, ok := containers[0].(map[string]any)
	if !ok {
		return fmt.Errorf("the manifest of %s has no container", deployment.GetName())
	}
	args, _, err := unstructured.NestedStringSlice(c, "args")
	if err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", deployment.GetName(), err)
	}
	if err := unstructured.SetNestedStringSlice(c, append(args, more...), "args"); err != nil {
		return fmt.Errorf("writing the manifest of %s: %w", deployment.GetName(), err)
	}
	return unstructured.SetNestedSlice(deployment.Object, containers, path...)
}

// objects are the settings themselves, and the right of every user to read them.
func (s Settings) objects() []*unstructured.Unstructured {
	data := map[string]any{}
	for k, v := range s {
		if v != "" {
			data[k] = v
		}
	}
	named := func(k kindOf, fields map[string]any) *unstructured.Unstructured {
		o := k.object()
		maps.Copy(o.Object, fields)
		o.SetName(v1beta2.ClientsConfig)
		o.SetNamespace(Namespace)
		o.SetLabels(map[string]string{partOfLabel: partOf})
		return o
	}
	return []*unstructured.Unstructured{
		named(configMaps, map[string]any{"data": data}),
		named(kindOf{rbac, "v1", "Role"}, map[string]any{"rules": []any{map[string]any{
			"apiGroups": []any{""}, "resources": []any{"configmaps"}, "resourceNames": []any{v1beta2.ClientsConfig}, "verbs": []any{"get"}}}}),
		named(kindOf{rbac, "v1", "RoleBinding"}, map[string]any{
			"roleRef":  map[string]any{"apiGroup": rbac, "kind": "Role", "name": v1beta2.ClientsConfig},
			"subjects": []any{map[string]any{"apiGroup": rbac, "kind": "Group", "name": "system:authenticated"}}}),
	}
}
