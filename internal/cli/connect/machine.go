package connect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/version"
)

// Server is what the control plane says of itself.
func (c *Cluster) Server(ctx context.Context) (version.Info, error) {
	var info version.Info
	data, err := c.REST.Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("reading the version of %s: %w", c.URL, err)
	}
	return info, nil
}

// Machine tells whether the control plane is that of `ofn up`, which serves logs, calls and a registry beside the
// Kubernetes API.
func (c *Cluster) Machine(ctx context.Context) (bool, error) {
	info, err := c.Server(ctx)
	return strings.HasSuffix(info.GitVersion, "+ofn"), err
}

// FunctionPath is where the machine serves what of a function.
func FunctionPath(namespace, name, what string) string {
	return "/ofn/v1/namespaces/" + namespace + "/functions/" + name + "/" + what
}

// BuilderPath is where the machine serves the log of a build.
func BuilderPath(namespace, name string) string {
	return "/ofn/v1/namespaces/" + namespace + "/builders/" + name + "/logs"
}

// Resolve is the URL of a path of the API server.
func (c *Cluster) Resolve(path string, query url.Values) string {
	u := *c.URL
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	return u.String()
}

// StatusError is an answer other than a success of an API that is not the Kubernetes API.
type StatusError struct {
	Code    int
	Message string
}

// Error is the server's own text.
func (e *StatusError) Error() string { return fmt.Sprintf("%s (HTTP %d)", e.Message, e.Code) }

// Stream opens a log. What is not a success is a *StatusError.
func (c *Cluster) Stream(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Resolve(path, query), nil)
	if err != nil {
		return nil, fmt.Errorf("asking for a log: %w", err)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // what was read of it is said
	return nil, &StatusError{Code: resp.StatusCode, Message: Message(text)}
}

// Message takes the text out of a Kubernetes Status, or gives the text as it is.
func Message(text []byte) string {
	var status struct{ Message string }
	if json.Unmarshal(text, &status) == nil && status.Message != "" {
		return status.Message
	}
	return strings.TrimSpace(string(text))
}
