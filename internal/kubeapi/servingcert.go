package kubeapi

import (
	"log/slog"
	"sync"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// servingContent renews the certificates of a server that runs for longer than they last: the API server looks for a new
// certificate every minute, and that look is when they are renewed.
type servingContent struct {
	renew func() (*keyPair, error)
	log   *slog.Logger

	mu   sync.Mutex
	pair *keyPair
}

// Name implements dynamiccertificates.CertKeyContentProvider.
func (*servingContent) Name() string { return "serving" }

// AddListener implements dynamiccertificates.Notifier; nobody need be told what everybody asks for every minute.
func (*servingContent) AddListener(dynamiccertificates.Listener) {}

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (c *servingContent) CurrentCertKeyContent() (certificate, key []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pair, err := c.renew(); err != nil {
		c.log.Error("renewing certificates", "error", err)
	} else {
		c.pair = pair
	}
	return c.pair.certPEM, c.pair.keyPEM
}
