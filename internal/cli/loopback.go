package cli

import (
	"context"
	"net"
	"net/http"
	"strings"
)

// direct is the way to a function by its own address. Names below localhost are this machine, which not every resolver knows (RFC 6761,
// 6.3): a cluster on a laptop, or a forwarded port, is reached by them.
func direct() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	dialer := &net.Dialer{}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(strings.ToLower(host), ".localhost") {
			address = net.JoinHostPort("localhost", port)
		}
		return dialer.DialContext(ctx, network, address)
	}
	return t
}
