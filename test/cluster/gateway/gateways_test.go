package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// allowed is whether the listeners of the Gateway take routes of the function's namespace. The internal one always does.
func (e edge) allowed(t *testing.T) {
	n := e.of(t, "route-allowed")
	n.Apply(function("fn", "fn", ""))
	n.Ready("function/fn")
	const at, inside = "http://fn.route-allowed.fn.example/", "http://fn.route-allowed.svc.cluster.local/"
	n.answers(at, http.StatusOK, "fn / ")
	n.applyGlobal(strings.Replace(gatewayOf(e.Name, ""), "from: All", "from: Same", 1))
	n.Condition("function/fn", "Ready", "False", "NotAllowedByListeners")
	n.refuses(at)
	n.answers(inside, http.StatusOK, "fn / ")
	n.applyGlobal(gatewayOf(e.Name, ""))
	n.Ready("function/fn")
	n.answers(at, http.StatusOK, "fn / ")
}

// tls is ended by the Gateway, with a certificate from another namespace, when that allows it.
func (e edge) tls(t *testing.T) {
	n := e.of(t, "route-tls")
	certificate, key, trusts := selfSigned(t, "*.route-tls.fn.example")
	n.trusts = trusts
	n.Apply(fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: certificate}
type: kubernetes.io/tls
data: {tls.crt: %s, tls.key: %s}
---`, base64.StdEncoding.EncodeToString(certificate), base64.StdEncoding.EncodeToString(key)) + function("fn", "fn", ""))
	n.Ready("function/fn")
	const plain, secure = "http://fn.route-tls.fn.example/", "https://fn.route-tls.fn.example/"
	external := func(want string) {
		t.Helper()
		n.field("function/fn", `.status.addresses[?(@.type=="External")].value`, want)
	}
	n.answers(plain, http.StatusOK, "fn / ")
	external(plain)

	n.applyGlobal(gatewayOf(e.Name, "{mode: Terminate, certificateRefs: [{group: '', kind: Secret, namespace: route-tls, name: certificate}]}"))
	n.system().Condition(ofnGateway+"openfunction", "Ready", "False", "ListenersNotValid")
	n.system().Eventually("the listener says why", func() error {
		if got := n.Kubectl("get", ofnGateway+"openfunction", "-n", n.system().Name, "-o", `jsonpath={.status.listeners[?(@.name=="https")].conditions[?(@.type=="ResolvedRefs")].reason}`); got != "RefNotPermitted" {
			return fmt.Errorf("it says %q", got)
		}
		return nil
	})
	n.answers(plain, http.StatusOK, "fn / ")
	external(plain)

	n.Apply(fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: certificate}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: %s}]
  to: [{group: "", kind: Secret, name: certificate}]
`, e.Name))
	n.system().Ready(ofnGateway + "openfunction")
	n.answers(secure, http.StatusOK, "fn / ")
	external(secure)
	n.Ready("function/fn")

	n.applyGlobal(gatewayOf(e.Name, "")) // what was put there is taken back
	n.system().Ready(ofnGateway + "openfunction")
	external(plain)
	n.answers(plain, http.StatusOK, "fn / ")
}

func selfSigned(t *testing.T, name string) (certificate, key []byte, trusts *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	trusts = x509.NewCertPool()
	trusts.AppendCertsFromPEM(certificate)
	return certificate, key, trusts
}

// remade is the Gateway that somebody deletes; requests come through again, and the function says so.
func (e edge) remade(t *testing.T) {
	n := e.of(t, "route-remade")
	n.Apply(function("fn", "fn", ""))
	n.Ready("function/fn")
	n.answers("http://fn.route-remade.fn.example/", http.StatusOK, "fn / ")
	const which = k8sGateway + "openfunction"
	uid := func() string {
		return n.Kubectl("get", which, "-n", e.Name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
	}
	before := uid()
	n.Kubectl("delete", which, "-n", e.Name, "--wait=false")
	n.Eventually("the Gateway is made again", func() error {
		if now := uid(); now == "" || now == before {
			return fmt.Errorf("its uid is %q", now)
		}
		return nil
	})
	n.system().Ready(ofnGateway + "openfunction")
	n.answers("http://fn.route-remade.fn.example/", http.StatusOK, "fn / ")
	n.Condition("function/fn", "Routed", "True", "Routed")
}

// TestConditions says why requests do not come through, until they do.
func TestConditions(t *testing.T) {
	n := edge{Namespace: ofncluster.New(t, "route-conditions"), gateway: "theirs.route-conditions"}
	ofncluster.Load(t, "./testdata/echo", image)
	own := func(allowed, route string) string {
		return fmt.Sprintf(`
apiVersion: networking.openfunction.io/v1alpha1
kind: Gateway
metadata: {name: own, namespace: route-conditions}
spec:
  domain: own.example
  gatewayRef: {name: theirs, namespace: route-conditions}
  gatewaySpec: {listeners: [{name: own, port: 80, protocol: HTTP, allowedRoutes: {namespaces: %s}}]}
---`, allowed) + function("fn", "fn", "{gatewayRef: {name: own, namespace: route-conditions}"+route+"}")
	}
	theirs := func(class string) string {
		return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: theirs}
spec:
  gatewayClassName: %s
  listeners: [{name: theirs, port: 8080, protocol: HTTP, hostname: "*.theirs.example"}]
`, class)
	}
	const at, everybody = "http://fn.route-conditions.own.example/", "{from: All}"
	routed := func(status, reason string) {
		t.Helper()
		n.Condition("function/fn", "Routed", status, reason)
	}

	_, fn, _ := strings.Cut(own(everybody, ""), "---")
	n.Apply(fn)
	routed("False", "GatewayNotFound")
	n.Apply(own(everybody, ""))
	routed("False", "GatewayNotReady")
	n.Condition(ofnGateway+"own", "Ready", "False", "GatewayNotFound")
	n.Apply(theirs("nobody"))
	routed("Unknown", "Waiting")
	n.Condition(ofnGateway+"own", "Ready", "Unknown", "Waiting")

	n.Kubectl("patch", k8sGateway+"theirs", "--type=merge", "-p", `{"spec":{"gatewayClassName":"contour"}}`)
	n.Ready("function/fn")
	n.Ready(ofnGateway + "own")
	n.answers(at, http.StatusOK, "fn / ")
	n.field(k8sGateway+"theirs", ".spec.listeners[*].name", "theirs own ofn-http-internal")

	n.Apply(own(everybody, ", hostnames: [fn.other.example]"))
	routed("False", "NoMatchingListener")
	n.refuses("http://fn.other.example/route-conditions/fn")
	n.Apply(own("{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}}", ""))
	routed("False", "NotAllowedByListeners")
	n.refuses(at)
	n.Apply(own("{from: Same}", ""))
	n.answers(at, http.StatusOK, "fn / ")
	routed("True", "Routed")

	n.Kubectl("delete", k8sGateway+"theirs")
	routed("False", "GatewayNotReady")
	n.Apply(theirs("contour"))
	n.Ready(ofnGateway + "own")
	n.answers(at, http.StatusOK, "fn / ")
	n.Ready("function/fn")
	n.Kubectl("delete", ofnGateway+"own")
	routed("False", "GatewayNotFound")
	n.field(k8sGateway+"theirs", ".spec.listeners[*].name", "theirs")
	n.refuses(at)
	n.Apply(own(everybody, ""))
	n.answers(at, http.StatusOK, "fn / ")
	n.Ready("function/fn")
}
