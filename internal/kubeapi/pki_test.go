package kubeapi

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"testing"
	"time"
)

func openTestPKI(t *testing.T, dir *dataDir, now time.Time, hosts ...string) *pki {
	t.Helper()
	p, err := openPKI(dir, append([]string{"localhost", "127.0.0.1"}, hosts...), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testDataDir(t *testing.T) *dataDir {
	t.Helper()
	dir, err := openDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestCertificatesAreKeptUntilTheyAreDue(t *testing.T) {
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		after            time.Duration
		hosts            []string
		remove           string
		ca, serving, key bool // replaced
	}{
		"at once":             {},
		"after half a year":   {after: 180 * day},
		"leaf nearly at end":  {after: 280 * day, serving: true},
		"leaf over":           {after: 500 * day, serving: true},
		"all nearly at end":   {after: 10*365*day - 80*day, ca: true, serving: true},
		"a new host":          {hosts: []string{"ofn.example.com"}, serving: true},
		"a new address":       {hosts: []string{"192.0.2.1"}, serving: true},
		"serving key missing": {remove: "apiserver.key", serving: true},
		"authority missing":   {remove: "ca.crt", ca: true, serving: true},
		"token key missing":   {remove: "sa.key", key: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := testDataDir(t)
			first := openTestPKI(t, dir, begin)
			if test.remove != "" {
				if err := os.Remove(dir.pki(test.remove)); err != nil {
					t.Fatal(err)
				}
			}
			now := begin.Add(test.after)
			second := openTestPKI(t, dir, now, test.hosts...)
			if replaced := !bytes.Equal(first.ca.certPEM, second.ca.certPEM); replaced != test.ca {
				t.Errorf("authority replaced: %v", replaced)
			}
			if replaced := !bytes.Equal(first.serving.certPEM, second.serving.certPEM); replaced != test.serving {
				t.Errorf("serving certificate replaced: %v", replaced)
			}
			if replaced := !first.signing.Equal(second.signing); replaced != test.key {
				t.Errorf("token key replaced: %v", replaced)
			}
			verify(t, second, now, append(test.hosts, "localhost", "127.0.0.1")...)
		})
	}
}

// verify checks what a client and the server would.
func verify(t *testing.T, p *pki, now time.Time, hosts ...string) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(p.ca.certPEM) {
		t.Fatal("the authority is no certificate")
	}
	for _, host := range hosts {
		if _, err := p.serving.cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: now}); err != nil {
			t.Errorf("serving %s: %v", host, err)
		}
	}
	client := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := p.admin.cert.Verify(client); err != nil {
		t.Errorf("administrator: %v", err)
	}
}

// A server that runs for longer than its certificate lasts serves the next one, and rewrites the kubeconfig.
func TestRunningServerRenews(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	dir := testDataDir(t)
	p, err := openPKI(dir, []string{"localhost"}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{dir: dir, pki: p, url: "https://localhost:1"}
	content := &servingContent{renew: s.renew, log: slog.New(slog.DiscardHandler), pair: p.serving}
	before, _ := content.CurrentCertKeyContent()
	if _, err := os.Stat(dir.kubeconfig()); err == nil {
		t.Error("the kubeconfig was written although nothing changed")
	}
	now = now.Add(300 * 24 * time.Hour)
	after, _ := content.CurrentCertKeyContent()
	if bytes.Equal(before, after) {
		t.Error("the certificate was not renewed")
	}
	kubeconfig, err := os.ReadFile(dir.kubeconfig())
	if err != nil || len(kubeconfig) == 0 {
		t.Errorf("the kubeconfig was not rewritten: %v", err)
	}
	verify(t, p, now, "localhost")
}
