package kubeapi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is replaced.
	renewBefore = 90 * 24 * time.Hour
)

// pki holds the certificates of the control plane; every key is ECDSA P-256 and never leaves its 0600 file.
type pki struct {
	dir   *dataDir
	hosts []string // of the API server
	now   func() time.Time

	ca      *keyPair
	serving *keyPair // the API server's
	admin   *keyPair // the kubeconfig's: user "ofn-admin" of group system:masters
	signing *ecdsa.PrivateKey
}

// keyPair is a certificate with its key, parsed and as PEM.
type keyPair struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM []byte
}

// openPKI loads what the directory holds and makes what is missing, about to expire or no longer fitting.
func openPKI(dir *dataDir, hosts []string, now func() time.Time) (*pki, error) {
	p := &pki{dir: dir, hosts: hosts, now: now}
	var err error
	if p.ca, err = p.openCA(); err != nil {
		return nil, err
	}
	if p.serving, p.admin, err = p.openLeaves(); err != nil {
		return nil, err
	}
	p.signing, err = p.openSigningKey()
	return p, err
}

// openLeaves are the API server's and the administrator's certificates, renewed when they are due.
func (p *pki) openLeaves() (serving, admin *keyPair, err error) {
	if serving, err = p.openLeaf("apiserver", p.serving, servingTemplate("ofn-apiserver", p.hosts)); err != nil {
		return nil, nil, err
	}
	admin, err = p.openLeaf("admin", p.admin, adminTemplate())
	return serving, admin, err
}

func (p *pki) openCA() (*keyPair, error) {
	pair, err := p.load("ca")
	if err != nil {
		return nil, err
	}
	if pair != nil && p.now().Add(renewBefore).Before(pair.cert.NotAfter) {
		return pair, nil
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "ofn-ca"},
		NotBefore:             p.now().Add(-time.Hour),
		NotAfter:              p.now().Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return p.issue("ca", template, nil)
}

// openLeaf reuses the known certificate, or else the stored one, when the authority signed it, it lasts and it names what the template
// names.
func (p *pki) openLeaf(name string, known *keyPair, template *x509.Certificate) (*keyPair, error) {
	pair, err := known, error(nil)
	if pair == nil {
		pair, err = p.load(name)
	}
	if err != nil {
		return nil, err
	}
	if pair != nil && p.fits(pair.cert, template) {
		return pair, nil
	}
	template.NotBefore, template.NotAfter = p.now().Add(-time.Hour), p.now().Add(leafLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	return p.issue(name, template, p.ca)
}

func (p *pki) fits(cert, template *x509.Certificate) bool {
	sameIP := func(a net.IP) bool {
		return slices.ContainsFunc(cert.IPAddresses, a.Equal)
	}
	for _, ip := range template.IPAddresses {
		if !sameIP(ip) {
			return false
		}
	}
	for _, name := range template.DNSNames {
		if !slices.Contains(cert.DNSNames, name) {
			return false
		}
	}
	return cert.CheckSignatureFrom(p.ca.cert) == nil && p.now().Add(renewBefore).Before(cert.NotAfter)
}

func adminTemplate() *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: "ofn-admin", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func servingTemplate(name string, hosts []string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}

// issue makes a new key and a certificate for it, signed by parent or, when that is nil, by itself. A name stores both.
func (p *pki) issue(name string, template *x509.Certificate, parent *keyPair) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of certificate %s: %w", name, err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126)); err != nil {
		return nil, fmt.Errorf("making the serial number of certificate %s: %w", name, err)
	}
	issuer, signer := template, crypto.Signer(key)
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("signing certificate %s: %w", name, err)
	}
	pair := &keyPair{key: key, certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	if pair.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("reading back certificate %s: %w", name, err)
	}
	if pair.keyPEM, err = encodeKey(key); err != nil {
		return nil, err
	}
	// The key first: a crash between the two leaves a pair that does not match, which load replaces.
	if err := writeFile(p.dir.pki(name+".key"), pair.keyPEM, 0o600); err != nil {
		return nil, err
	}
	return pair, writeFile(p.dir.pki(name+".crt"), pair.certPEM, 0o600)
}

// load reads a stored pair; nil without an error means that there is none that fits together.
func (p *pki) load(name string) (*keyPair, error) {
	certPEM, err := os.ReadFile(p.dir.pki(name + ".crt"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s: %w", name, err)
	}
	keyPEM, err := os.ReadFile(p.dir.pki(name + ".key"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of certificate %s: %w", name, err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, nil // damaged or half replaced: made anew
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil
	}
	return &keyPair{cert: pair.Leaf, key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

// openSigningKey is the key of service account tokens. A damaged one is an error: a new one would silently void every token.
func (p *pki) openSigningKey() (*ecdsa.PrivateKey, error) {
	path := p.dir.pki("sa.key")
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return p.makeSigningKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the service account key: %w", err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("the service account key %s is damaged; restore it, or remove it to void all service account tokens", path)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the service account key %s is damaged; restore it, or remove it to void all service account tokens: %w", path, err)
	}
	return key, nil
}

func (p *pki) makeSigningKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the service account key: %w", err)
	}
	content, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, content, 0o600)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
