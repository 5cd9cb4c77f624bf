// Package certificate is what the Secret of the webhooks holds: the certificate they are served with, the authority that signed it,
// and the authorities before and after that one. When each is renewed is decided here, from the content and the time alone, so that
// several replicas come to the same decision.
//
// An authority signs nothing until it has been in the bundle for a day: by then every configuration has it. It leaves the bundle when it
// has ended, and so later than any certificate it signed. Only where there is no certificate to go on with is a new authority used at once.
package certificate

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// Keys of the Secret. The names are those that cert-manager uses, whose Secrets can take the place of ours.
const (
	KeyAuthorities  = "ca.crt"
	KeyAuthorityKey = "ca.key"
	KeyCertificate  = corev1.TLSCertKey
	KeyPrivate      = corev1.TLSPrivateKeyKey
)

// annotationCertManager is on Secrets that cert-manager writes.
const annotationCertManager = "cert-manager.io/certificate-name"

// Managed says whether cert-manager writes the Secret. It is only read then.
func Managed(s *corev1.Secret) bool { return s.Annotations[annotationCertManager] != "" }

const (
	authorityLife  = 365 * 24 * time.Hour // the next one comes at half of it
	leafLife       = 90 * 24 * time.Hour  // renewed after two thirds; less than half of authorityLife
	announced      = 24 * time.Hour       // how long an authority is in the bundle before it signs
	skew           = time.Hour            // by which clocks may differ
	recheck        = time.Hour            // clocks jump, machines sleep
	maxAuthorities = 4                    // in the bundle, however often somebody breaks the Secret
)

// Material is the content of the Secret, as far as it can be used.
type Material struct {
	authorities []*x509.Certificate // the newest first
	key         *ecdsa.PrivateKey   // of authorities[0]; nil when it is lost
	serving     *tls.Certificate    // with its Leaf; nil when there is none
	private     []byte              // the PEM of its key
}

// Parse takes from the data of a Secret what can be used; what cannot is as if it were not there.
func Parse(data map[string][]byte) Material {
	var m Material
	if found, err := cert.ParseCertsPEM(data[KeyAuthorities]); err == nil {
		m.authorities = slices.DeleteFunc(found, func(c *x509.Certificate) bool { return !c.IsCA })
		slices.SortStableFunc(m.authorities, func(a, b *x509.Certificate) int { return b.NotBefore.Compare(a.NotBefore) })
	}
	if key, err := keyutil.ParsePrivateKeyPEM(data[KeyAuthorityKey]); err == nil && len(m.authorities) > 0 {
		if signer, ok := key.(*ecdsa.PrivateKey); ok && signer.PublicKey.Equal(m.authorities[0].PublicKey) {
			m.key = signer
		}
	}
	if pair, err := tls.X509KeyPair(data[KeyCertificate], data[KeyPrivate]); err == nil {
		m.serving, m.private = &pair, data[KeyPrivate]
	}
	return m
}

// Certificate is the one to serve with; nil when there is none. It may have ended: see Check.
func (m Material) Certificate() *tls.Certificate { return m.serving }

// Bundle is the PEM of all authorities that clients must trust.
func (m Material) Bundle() []byte {
	bundle, err := cert.EncodeCertificates(m.authorities...)
	if err != nil {
		return nil // it fails for no certificate that was parsed
	}
	return bundle
}

// Check says why a client that trusts the bundle would refuse the certificate under one of the names: nil when it would not.
func (m Material) Check(now time.Time, names []string) error {
	return m.TrustedBy(m.authorities, now, names)
}

// TrustedBy is Check for a client that trusts these instead.
func (m Material) TrustedBy(authorities []*x509.Certificate, now time.Time, names []string) error {
	if m.serving == nil {
		return errors.New("there is no certificate with its key")
	}
	roots := x509.NewCertPool()
	for _, a := range authorities {
		roots.AddCert(a)
	}
	for _, name := range names {
		_, err := m.serving.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		if err != nil {
			return fmt.Errorf("the certificate is of no use for %s: %w", name, err)
		}
	}
	return nil
}

// Renewed is the material as it should be now for a server of these names, with the reasons for what changed: none when nothing did.
func (m Material) Renewed(now time.Time, names []string) (Material, []string, error) {
	var reasons []string
	current := slices.DeleteFunc(slices.Clone(m.authorities), func(c *x509.Certificate) bool { return now.Before(c.NotBefore) || !now.Before(c.NotAfter) })
	if len(current) != len(m.authorities) {
		reasons = append(reasons, "an authority has ended, or not begun")
		if len(current) == 0 || current[0] != m.authorities[0] {
			m.key = nil
		}
		m.authorities = current
	}
	if why := m.authorityDue(now); why != "" {
		authority, key, err := newAuthority(now)
		if err != nil {
			return m, nil, err
		}
		m.authorities, m.key = append([]*x509.Certificate{authority}, m.authorities...), key
		m.authorities = m.authorities[:min(len(m.authorities), maxAuthorities)]
		reasons = append(reasons, why)
	}
	why, names := m.leafDue(now, names)
	if why == "" {
		return m, reasons, nil
	}
	var err error
	if m.serving, m.private, err = newLeaf(now, names, m.authorities[0], m.key); err != nil {
		return m, nil, err
	}
	return m, append(reasons, why), nil
}

// authorityDue says why a new authority is needed; empty when none is.
func (m Material) authorityDue(now time.Time) string {
	switch {
	case len(m.authorities) == 0:
		return "there is no authority"
	case m.key == nil:
		return "the authority has no key"
	case !now.Before(halfway(m.authorities[0])):
		return "the authority is half way to its end"
	}
	return ""
}

// leafDue says why a new certificate is needed, and for which names; empty when none is. The names of one that still serves somebody
// are kept when another's are added: replicas that are told different names do not undo each other's work.
func (m Material) leafDue(now time.Time, names []string) (string, []string) {
	if err := m.Check(now, names); err != nil {
		if m.serving != nil && m.Check(now, servedNames(m.serving.Leaf)) == nil {
			names = append(slices.Clone(names), servedNames(m.serving.Leaf)...)
		}
		return err.Error(), names
	}
	switch {
	case now.Before(m.signs()):
		return "", nil
	case m.serving.Leaf.CheckSignatureFrom(m.authorities[0]) != nil:
		return "the authority that signed the certificate is replaced", names
	case !now.Before(renewal(m.serving.Leaf)):
		return "the certificate is two thirds of the way to its end", names
	}
	return "", nil
}

// signs is when the newest authority has been announced for long enough.
func (m Material) signs() time.Time { return m.authorities[0].NotBefore.Add(skew + announced) }

func halfway(c *x509.Certificate) time.Time { return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 2) }

func renewal(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}

// Next is when there may be something to renew of material that Renewed has returned: an hour from now at the latest.
func (m Material) Next(now time.Time) time.Time {
	next := now.Add(recheck)
	consider := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	for i, a := range m.authorities {
		if i == 0 {
			consider(halfway(a))
			consider(m.signs())
		}
		consider(a.NotAfter)
	}
	if m.serving != nil {
		consider(renewal(m.serving.Leaf))
		consider(m.serving.Leaf.NotAfter)
	}
	return next
}

// Data is the material as a Secret holds it.
func (m Material) Data() (map[string][]byte, error) {
	key, err := keyutil.MarshalPrivateKeyToPEM(m.key)
	if err != nil {
		return nil, fmt.Errorf("encoding the authority's key: %w", err)
	}
	return map[string][]byte{
		KeyAuthorities: m.Bundle(), KeyAuthorityKey: key, KeyCertificate: encode(m.serving.Certificate[0]), KeyPrivate: m.private,
	}, nil
}
