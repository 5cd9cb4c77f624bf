// Package pki makes the certificates and kubeconfigs of one short-lived cluster.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
)

const lifetime = 30 * 24 * time.Hour

// Authority signs certificates and writes them, PEM-encoded, as NAME.crt and NAME.key into its folder.
type Authority struct {
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// Subject says whom a certificate is for: a user and its groups, and, for a server, the names and addresses it answers to.
type Subject struct {
	User   string
	Groups []string
	Names  []string
	IPs    []string
}

// New makes an authority in dir, which must exist; ca.crt is its certificate.
func New(dir string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	own, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "cluster-ca"}, key)
	if err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	a := &Authority{dir: dir, key: key, cert: own}
	return a, a.write("ca", own.Raw, key)
}

// Issue writes NAME.crt and NAME.key for s, good for both ends of a connection.
func (a *Authority) Issue(name string, s Subject) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key of %s: %w", name, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("making the serial number of %s: %w", name, err)
	}
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.User, Organization: s.Groups},
		NotBefore:    a.cert.NotBefore,
		NotAfter:     time.Now().Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:     s.Names,
	}
	for _, ip := range s.IPs {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return fmt.Errorf("signing the certificate of %s: %w", name, err)
	}
	return a.write(name, raw, key)
}

// SigningKey writes NAME.key and NAME.pub, a bare pair of keys: what service account tokens are signed with.
func (a *Authority) SigningKey(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key %s: %w", name, err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return fmt.Errorf("encoding the public key %s: %w", name, err)
	}
	if err := a.writePEM(name+".pub", "PUBLIC KEY", public); err != nil {
		return err
	}
	return a.writeKey(name, key)
}

// Kubeconfig issues a certificate for s and writes a kubeconfig at path that uses it against server.
func (a *Authority) Kubeconfig(path, server string, s Subject) error {
	name := filepath.Base(path)
	if err := a.Issue(name, s); err != nil {
		return err
	}
	data := map[string][]byte{}
	for _, file := range []string{"ca.crt", name + ".crt", name + ".key"} {
		b, err := os.ReadFile(filepath.Join(a.dir, file))
		if err != nil {
			return fmt.Errorf("reading back a certificate: %w", err)
		}
		data[file] = b
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: data["ca.crt"]}
	config.AuthInfos[s.User] = &clientcmdapi.AuthInfo{ClientCertificateData: data[name+".crt"], ClientKeyData: data[name+".key"]}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: s.User}
	config.CurrentContext = "test"
	return clientcmd.WriteToFile(*config, path)
}

func (a *Authority) write(name string, raw []byte, key *ecdsa.PrivateKey) error {
	if err := a.writePEM(name+".crt", "CERTIFICATE", raw); err != nil {
		return err
	}
	return a.writeKey(name, key)
}

func (a *Authority) writeKey(name string, key *ecdsa.PrivateKey) error {
	b, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the key %s: %w", name, err)
	}
	return a.writePEM(name+".key", "EC PRIVATE KEY", b)
}

func (a *Authority) writePEM(file, kind string, b []byte) error {
	return os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600)
}
