package certificate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"

	"github.com/openfunction/ofn/internal/control/webhook/certificate"
)

const day = 24 * time.Hour

var (
	start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	names = []string{"ofn-webhook.openfunction.svc", "ofn-webhook.openfunction.svc.cluster.local", "127.0.0.1"}
)

// made is what is in the Secret after a renewal.
func made(t *testing.T, data map[string][]byte, now time.Time, names []string) (map[string][]byte, []string) {
	t.Helper()
	m, reasons, err := certificate.Parse(data).Renewed(now, names)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(now, names); err != nil {
		t.Fatal("what was renewed is refused:", err)
	}
	if next := m.Next(now); !next.After(now) || next.After(now.Add(time.Hour)) {
		t.Errorf("at %v it is looked at next at %v", now, next)
	}
	out, err := m.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, again, err := certificate.Parse(out).Renewed(now, names); err != nil || again != nil {
		t.Errorf("what was just renewed is renewed again: %v, %v", again, err)
	}
	return out, reasons
}

func TestNew(t *testing.T) {
	data, reasons := made(t, nil, start, names)
	if len(reasons) != 2 {
		t.Error("reasons", reasons)
	}
	leaf := parsed(t, data[certificate.KeyCertificate])[0]
	if _, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || leaf.IsCA || len(leaf.IPAddresses) != 1 || len(leaf.DNSNames) != 2 {
		t.Errorf("the certificate is %+v", leaf)
	}
	if authorities := parsed(t, data[certificate.KeyAuthorities]); len(authorities) != 1 || !authorities[0].MaxPathLenZero {
		t.Errorf("the authorities are %+v", authorities)
	}
}

// Through three years, however late it is looked at, a certificate is trusted by the bundle of the time before it was made, and the
// one before it by the bundle of the time after.
func TestYears(t *testing.T) {
	m := renewed(t, certificate.Material{}, start)
	bundle := m.Bundle()
	leaves, bundles := 1, 1
	for now := start; now.Before(start.Add(3 * 365 * day)); now = now.Add(max(m.Next(now).Sub(now), 20*time.Hour)) {
		before := m
		m = renewed(t, m, now)
		newBundle, newLeaf := !bytes.Equal(m.Bundle(), bundle), m.Certificate() != before.Certificate()
		if newBundle {
			bundles++
		}
		if newLeaf {
			leaves++
		}
		if !newBundle && !newLeaf {
			continue
		}
		trusted(t, now, bundle, m.Certificate().Leaf)
		trusted(t, now, m.Bundle(), before.Certificate().Leaf)
		bundle = m.Bundle()
	}
	if leaves < 18 || leaves > 30 || bundles < 6 || bundles > 13 { // one comes and one goes each half year
		t.Errorf("%d certificates and %d bundles in three years", leaves, bundles)
	}
}

func renewed(t *testing.T, m certificate.Material, now time.Time) certificate.Material {
	t.Helper()
	m, _, err := m.Renewed(now, names)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func trusted(t *testing.T, now time.Time, bundle []byte, leaf *x509.Certificate) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: names[0]}); err != nil {
		t.Errorf("%v: %v", now, err)
	}
}

func with(data map[string][]byte, key string, value []byte) map[string][]byte {
	data = maps.Clone(data)
	data[key] = value
	return data
}

func TestBroken(t *testing.T) {
	good, _ := made(t, nil, start, names)
	other, _ := made(t, nil, start, names)
	former := good[certificate.KeyAuthorities]
	for name, test := range map[string]struct {
		data  map[string][]byte
		after time.Duration
		says  string
		keeps bool // the certificate goes on
	}{
		"empty":                       {map[string][]byte{}, 0, "no authority", false},
		"nonsense":                    {map[string][]byte{"ca.crt": []byte("x"), "ca.key": {0}, "tls.crt": []byte("-----BEGIN"), "tls.key": nil}, 0, "no authority", false},
		"authority lost":              {with(good, certificate.KeyAuthorities, nil), 0, "no authority", false},
		"authority's key lost":        {with(good, certificate.KeyAuthorityKey, nil), 0, "no key", true},
		"authority's key of another":  {with(good, certificate.KeyAuthorityKey, other[certificate.KeyAuthorityKey]), 0, "no key", true},
		"certificate lost":            {with(good, certificate.KeyCertificate, nil), 0, "no certificate", false},
		"certificate of another":      {with(good, certificate.KeyCertificate, other[certificate.KeyCertificate]), 0, "no certificate", false},
		"signed by another":           {with(with(good, certificate.KeyCertificate, other[certificate.KeyCertificate]), certificate.KeyPrivate, other[certificate.KeyPrivate]), 0, "of no use", false},
		"certificate as authority":    {with(good, certificate.KeyAuthorities, good[certificate.KeyCertificate]), 0, "no authority", false},
		"the certificate has ended":   {good, 91 * day, "expired", false},
		"everything has ended":        {good, 400 * day, "has ended", false},
		"made by a clock far ahead":   {good, -2 * day, "not begun", false},
		"with an authority not ours":  {with(good, certificate.KeyAuthorities, append(bytes.Clone(former), other[certificate.KeyAuthorities]...)), 0, "", true},
		"its renewal has come":        {good, 61 * day, "two thirds", false},
		"the next authority has come": {good, 183 * day, "half way", false},
	} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(test.after)
			data, reasons := made(t, test.data, now, names)
			if !strings.Contains(strings.Join(reasons, "; "), test.says) || test.says == "" && len(reasons) > 1 {
				t.Errorf("reasons %q, want %q", reasons, test.says)
			}
			if kept := bytes.Equal(data[certificate.KeyCertificate], good[certificate.KeyCertificate]); kept != test.keeps {
				t.Error("the certificate goes on:", kept)
			}
		})
	}
}

// Whatever is done to the Secret, the bundle stays small.
func TestBundleIsBounded(t *testing.T) {
	data, _ := made(t, nil, start, names)
	for i := range 20 {
		data, _ = made(t, with(data, certificate.KeyAuthorityKey, nil), start.Add(time.Duration(i)*time.Minute), names)
	}
	if n := len(parsed(t, data[certificate.KeyAuthorities])); n > 4 {
		t.Errorf("%d authorities", n)
	}
}

// Replicas that are told different names end with one certificate for all of them.
func TestNamesOfTwoReplicas(t *testing.T) {
	one, other := []string{"a.openfunction.svc"}, []string{"b.openfunction.svc"}
	data, _ := made(t, nil, start, one)
	data, reasons := made(t, data, start, other)
	if len(reasons) != 1 {
		t.Error("reasons", reasons)
	}
	if _, reasons = made(t, data, start, one); reasons != nil {
		t.Error("they undo each other's work:", reasons)
	}
}

// FuzzParse reads any content of a Secret, and what it makes of it is good.
func FuzzParse(f *testing.F) {
	m, _, err := certificate.Material{}.Renewed(start, names)
	if err != nil {
		f.Fatal(err)
	}
	data, err := m.Data()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data["ca.crt"], data["ca.key"], data["tls.crt"], data["tls.key"])
	f.Fuzz(func(t *testing.T, authorities, key, leaf, private []byte) {
		m, _, err := certificate.Parse(map[string][]byte{"ca.crt": authorities, "ca.key": key, "tls.crt": leaf, "tls.key": private}).Renewed(start, names)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Check(start, names); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Data(); err != nil {
			t.Fatal(err)
		}
	})
}

func parsed(t *testing.T, text []byte) []*x509.Certificate {
	t.Helper()
	if block, _ := pem.Decode(text); block == nil {
		t.Fatalf("not PEM: %s", text)
	}
	out, err := cert.ParseCertsPEM(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
