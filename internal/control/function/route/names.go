package route

import (
	"fmt"
	"slices"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// names are where a function is reached: hosts, and the path prefix used when the user gives hosts but no rules.
type names struct {
	hosts   []string
	paths   []string
	cluster string // the domain of the names inside the cluster
}

// namesOf follows OpenFunction: the user's hostnames, or the Gateway's host template; always the name inside the cluster.
// Without rules the path is "/" under a templated host and the path template under the user's own hosts, which several
// functions may share.
func namesOf(fn *v1beta2.Function, t *v1beta2.HTTPTrigger, g *networking.Gateway) (names, error) {
	vars := struct{ Name, Namespace, Domain string }{fn.Name, fn.Namespace, g.Spec.Domain}
	var n names
	if t.Route != nil && len(t.Route.Hostnames) > 0 {
		for _, h := range t.Route.Hostnames {
			n.hosts = append(n.hosts, strings.ToLower(string(h)))
		}
		path, err := render("pathTemplate", orDefault(g.Spec.PathTemplate, networking.DefaultPathTemplate), vars)
		if err != nil {
			return names{}, err
		}
		n.paths = []string{"/" + strings.TrimPrefix(path, "/")}
	} else {
		host, err := render("hostTemplate", orDefault(g.Spec.HostTemplate, networking.DefaultHostTemplate), vars)
		if err != nil {
			return names{}, err
		}
		if problems := validation.IsDNS1123Subdomain(strings.ToLower(host)); len(problems) > 0 {
			return names{}, fmt.Errorf("the gateway's hostTemplate gives %q, which is no host name: %s", host, strings.Join(problems, "; "))
		}
		n.hosts = []string{strings.ToLower(host)}
		n.paths = []string{"/"}
	}
	n.cluster = orDefault(g.Spec.ClusterDomain, networking.DefaultClusterDomain)
	internal := fmt.Sprintf("%s.%s.svc.%s", fn.Name, fn.Namespace, n.cluster)
	if !slices.Contains(n.hosts, internal) {
		n.hosts = append(n.hosts, internal)
	}
	return n, nil
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

func render(name, text string, vars any) (string, error) {
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("the gateway's %s: %w", name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, vars); err != nil {
		return "", fmt.Errorf("the gateway's %s: %w", name, err)
	}
	return b.String(), nil
}
