package kubeapi

import (
	"fmt"
	"net/url"

	"k8s.io/apiserver/pkg/util/webhook"
)

// ownService finds the one Service there is without pods: default/kubernetes, this API server. A webhook configuration or a
// conversion that names it, at port 443, reaches the handlers of Options.Handlers with the privileged identity of the server.
type ownService struct{ url *url.URL }

// ResolveEndpoint implements webhook.ServiceResolver.
func (o ownService) ResolveEndpoint(namespace, name string, _ int32) (*url.URL, error) {
	if namespace != "default" || name != "kubernetes" {
		return nil, fmt.Errorf("service %s/%s: there are no services on one machine; give the webhook a url, or service default/kubernetes for a path of this API server",
			namespace, name)
	}
	return o.url, nil
}

// webhooks are how the servers find webhooks and authenticate themselves to them.
func (s *apiServer) webhooks() (webhook.ServiceResolver, webhook.AuthenticationInfoResolverWrapper, error) {
	own, err := url.Parse(s.loopback.Host)
	if err != nil {
		return nil, nil, fmt.Errorf("parsing the own address: %w", err)
	}
	return ownService{own}, webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, s.loopback, s.config.TracerProvider), nil
}
