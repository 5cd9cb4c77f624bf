package connect

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// NamespacePath is where the machine serves what of a namespace: "calls", "calls/ID/result".
func NamespacePath(namespace, what string) string {
	return "/ofn/v1/namespaces/" + namespace + "/" + what
}

// CallState is the header that only the result of a call has: it is the answer of a function, whatever its status.
const CallState = "X-Openfunction-Call-State"

// Ask sends a request to the machine beside the Kubernetes API. What is neither a success nor the result of a call is a *StatusError;
// the answer must be closed.
func (c *Cluster) Ask(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Resolve(path, query), body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := (&http.Client{Transport: c.HTTP.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 || resp.Header.Get(CallState) != "" {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // what was read of it is said
	return nil, &StatusError{Code: resp.StatusCode, Message: Message(text)}
}
