package source

import (
	"crypto/tls"
	"crypto/x509"
)

// TLS makes the configuration of an encrypted connection. All are PEM; ca is the system's when it is empty, and cert and key
// are needed by brokers that know their clients by certificate.
func TLS(ca, cert, key string, skipVerify bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: skipVerify} //nolint:gosec // only where the author asks for it
	if ca != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, Invalid{"caCert", "it holds no certificate in PEM"}
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			return nil, Invalid{"clientCert", err.Error() + ": clientCert and clientKey must be a pair in PEM"}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
