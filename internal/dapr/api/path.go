package api

import (
	"fmt"
	"net/url"
	"strings"
)

// route is what a path of the HTTP API asks for.
type route struct {
	version string   // "v1.0", "v1.0-alpha1", "v1.0-beta1"
	block   string   // "state", "publish"...
	args    []string // decoded, after the block
	raw     string   // what follows the block, as it came
}

// parsePath reads an escaped path of the API. ok is false for paths that are none of Dapr's.
func parsePath(escaped string) (r route, ok bool, err error) {
	rest := strings.TrimPrefix(escaped, "/")
	r.version, rest, _ = strings.Cut(rest, "/")
	switch r.version {
	case "v1.0", "v1.0-alpha1", "v1.0-alpha2", "v1.0-beta1":
	default:
		return route{}, false, nil
	}
	r.block, r.raw, _ = strings.Cut(rest, "/")
	if r.block == "" {
		return route{}, false, nil
	}
	if r.raw == "" {
		return r, true, nil
	}
	for _, part := range strings.Split(r.raw, "/") {
		arg, err := url.PathUnescape(part)
		if err != nil {
			return route{}, false, fmt.Errorf("path %q: %w", escaped, err)
		}
		r.args = append(r.args, arg)
	}
	return r, true, nil
}

// arg is the i-th argument, empty where there is none.
func (r route) arg(i int) string {
	if i < len(r.args) {
		return r.args[i]
	}
	return ""
}

// from are the arguments from the i-th, joined: names of topics may have slashes.
func (r route) from(i int) string {
	if i >= len(r.args) {
		return ""
	}
	return strings.Join(r.args[i:], "/")
}
