package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/openfunction/ofn/test/cluster/internal/pki"
)

func TestAuthority(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("server", pki.Subject{User: "server", Names: []string{"a.b.svc"}, IPs: []string{"10.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if b, err := os.ReadFile(filepath.Join(dir, "ca.crt")); err != nil || !roots.AppendCertsFromPEM(b) {
		t.Fatalf("the authority's certificate: %v", err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]bool{"a.b.svc": true, "10.0.0.1": true, "other": false} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots})
		if (err == nil) != good {
			t.Errorf("as %s: %v", name, err)
		}
	}
	path := filepath.Join(dir, "admin.kubeconfig")
	if err := ca.Kubeconfig(path, "https://127.0.0.1:1", pki.Subject{User: "admin", Groups: []string{"system:masters"}}); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil || config.Host != "https://127.0.0.1:1" || len(config.CertData) == 0 {
		t.Errorf("config %v, %v", config, err)
	}
}
