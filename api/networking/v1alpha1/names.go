package v1alpha1

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
)

// maxName bounds what a template may make: a host name has at most 253 bytes, and a longer path helps nobody.
const maxName = 1024

// Host is the external host name of a function, made with the host template.
func (g *Gateway) Host(name, namespace string) (string, error) {
	host, err := expand(g.Spec.HostTemplate, DefaultHostTemplate, map[string]string{
		"Name": name, "Namespace": namespace, "Domain": g.Spec.Domain,
	})
	if err != nil {
		return "", fmt.Errorf("hostTemplate: %w", err)
	}
	return host, nil
}

// Path is the path of a function on a shared host, made with the path template. It begins with "/".
func (g *Gateway) Path(name, namespace string) (string, error) {
	path, err := expand(g.Spec.PathTemplate, DefaultPathTemplate, map[string]string{"Name": name, "Namespace": namespace})
	if err != nil {
		return "", fmt.Errorf("pathTemplate: %w", err)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path, nil
}

// InternalHost is the host name of a function inside the cluster.
func (g *Gateway) InternalHost(name, namespace string) string {
	domain := g.Spec.ClusterDomain
	if domain == "" {
		domain = DefaultClusterDomain
	}
	return name + "." + namespace + ".svc." + domain
}

// Target is the Gateway of the Gateway API that carries the traffic: the one referred to, or the one that is made, under the name
// of this object when it is given none.
func (g *Gateway) Target() GatewayRef {
	switch ref, def := g.Spec.GatewayRef, g.Spec.GatewayDef; {
	case ref != nil:
		return *ref
	case def != nil && def.Name != "":
		return GatewayRef{Name: def.Name, Namespace: def.Namespace}
	case def != nil:
		return GatewayRef{Name: g.Name, Namespace: def.Namespace}
	default:
		return GatewayRef{}
	}
}

// expand runs a template over its variables; one it does not have is an error.
func expand(text, def string, vars map[string]string) (string, error) {
	if text == "" {
		text = def
	}
	t, err := template.New("template").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	for _, each := range t.Templates() {
		if each.Tree != nil && loops(each.Root) {
			return "", errors.New("loops and nested templates are not allowed")
		}
	}
	out := &bounded{}
	if err := t.Execute(out, vars); err != nil {
		return "", err
	}
	return out.String(), nil
}

// loops says that a template might not come to an end soon.
func loops(node parse.Node) bool {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return false
		}
		for _, child := range n.Nodes {
			if loops(child) {
				return true
			}
		}
	case *parse.IfNode:
		return loops(n.List) || loops(n.ElseList)
	case *parse.WithNode:
		return loops(n.List) || loops(n.ElseList)
	case *parse.RangeNode, *parse.TemplateNode:
		return true
	}
	return false
}

// bounded collects at most maxName bytes.
type bounded struct{ strings.Builder }

// Write refuses what goes beyond the bound.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxName {
		return 0, fmt.Errorf("the result is longer than %d bytes", maxName)
	}
	return b.Builder.Write(p)
}

// WriteString refuses what goes beyond the bound.
func (b *bounded) WriteString(s string) (int, error) { return b.Write([]byte(s)) }
