// Package gateway_test leads requests to functions of ofn by a real implementation of the Gateway API: Contour, with an Envoy for each
// Gateway, on the test cluster:
//
//	PACKAGES=./gateway test/cluster/test.sh contour
package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

const (
	image  = "dev.local/gateway-echo:1"
	domain = "fn.example"
)

func TestMain(m *testing.M) {
	os.Exit(ofncluster.Main(m, ofncluster.Setup{Needs: []string{"contourdeployments.projectcontour.io"}}))
}

// edge is a Gateway of the Gateway API, and the Envoy that Contour gave it.
type edge struct {
	*ofncluster.Namespace
	gateway string
	// trusts verifies its certificate.
	trusts *x509.CertPool
}

// of is the edge as a test of its own namespace calls it.
func (e edge) of(t *testing.T, namespace string) edge {
	t.Helper()
	return edge{Namespace: ofncluster.New(t, namespace), gateway: e.gateway + "." + e.Name, trusts: e.trusts}
}

// answer is what came back.
type answer struct {
	status         int
	body, location string
}

func (a answer) String() string { return fmt.Sprintf("%d %q", a.status, a.body) }

// call sends one request for a URL to the Envoy, whatever the name in it leads to. Redirects are not followed.
func (e edge) call(url string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(e.T.Context(), http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	name, namespace, _ := strings.Cut(e.gateway, ".")
	transport := ofncluster.Client.Transport.(*http.Transport).Clone()
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return dial(ctx, network, net.JoinHostPort("envoy-"+name+"."+namespace+".svc.cluster.local", port))
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: e.trusts, MinVersion: tls.VersionTLS12}
	client := &http.Client{Timeout: ofncluster.Client.Timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, body: string(body), location: res.Header.Get("Location")}, err
}

// answers waits until a URL is answered so.
func (e edge) answers(url string, status int, body string, headers ...string) {
	e.T.Helper()
	e.Eventually(fmt.Sprintf("%s answers %d %q", url, status, body), func() error {
		got, err := e.call(url, headers...)
		if err == nil && (got.status != status || status == http.StatusOK && got.body != body) {
			err = fmt.Errorf("it answered %s", got)
		}
		return err
	})
}

// refuses waits until nobody answers for a URL: an Envoy with other routes says so, one without any does not listen.
func (e edge) refuses(url string) {
	e.T.Helper()
	e.Eventually("nobody answers for "+url, func() error {
		switch got, err := e.call(url); {
		case errors.Is(err, syscall.ECONNREFUSED):
			return nil
		case err != nil:
			return err
		case got.status != http.StatusNotFound:
			return fmt.Errorf("it answered %s", got)
		}
		return nil
	})
}

// field waits until a field of an object has a value, by kubectl's JSONPath.
func (e edge) field(which, path, want string) {
	e.T.Helper()
	e.Eventually(which+" has "+path+" "+want, func() error {
		if got := e.Kubectl("get", which, "--ignore-not-found", "-o", "jsonpath={"+path+"}"); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// function answers with its version; a route may follow.
func function(name, version, route string) string {
	if route == "" {
		route = "{}"
	}
	return fmt.Sprintf(`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: %s}
spec:
  image: %s
  serving:
    annotations: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}
    params: {VERSION: "%s"}
    triggers:
      http:
        engine: pods
        port: 8080
        route: %s
    scaleOptions: {minReplicas: 0, maxReplicas: 2}
    template: {containers: [{name: function, imagePullPolicy: IfNotPresent}], terminationGracePeriodSeconds: 1}
`, name, image, version, route)
}

// gatewayOf is a Gateway of OpenFunction under the default name, with listeners of its own for HTTP and, where TLS is given, HTTPS.
func gatewayOf(namespace, tls string) string {
	if tls != "" {
		tls = ", {name: https, port: 443, protocol: HTTPS, allowedRoutes: {namespaces: {from: All}}, tls: " + tls + "}"
	}
	return fmt.Sprintf(`
apiVersion: networking.openfunction.io/v1alpha1
kind: Gateway
metadata: {name: openfunction, namespace: %s}
spec:
  domain: %s
  gatewayDef: {namespace: %s, gatewayClassName: contour}
  gatewaySpec:
    listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}%s]
`, ofncluster.System, domain, namespace, tls)
}

const (
	ofnGateway = "gateways.networking.openfunction.io/"
	k8sGateway = "gateways.gateway.networking.k8s.io/"
)

// TestContour has one Envoy for the default Gateway, because one takes its time to start.
func TestContour(t *testing.T) {
	e := edge{Namespace: ofncluster.New(t, "edge"), gateway: "openfunction"}
	ofncluster.Load(t, "./testdata/echo", image)
	e.applyGlobal(gatewayOf(e.Name, ""))
	defer e.end()
	e.Condition(k8sGateway+"openfunction", "Programmed", "True", "")
	e.system().Ready(ofnGateway + "openfunction")

	t.Run("hosts", e.hosts)
	t.Run("rules", e.rules)
	t.Run("zero", e.zero)
	t.Run("traffic", e.traffic)
	t.Run("weights", e.weights)
	t.Run("inside", e.inside)
	t.Run("removed", e.removed)
	t.Run("allowed", e.allowed)
	t.Run("tls", e.tls)
	t.Run("remade", e.remade)
}

// end takes the default Gateway away, and waits until what was made for it has gone.
func (e edge) end() {
	e.system().Kubectl("delete", ofnGateway+"openfunction", "--ignore-not-found")
	e.Gone(k8sGateway + "openfunction")
}

// system is the namespace of ofn, with the default Gateway.
func (e edge) system() *ofncluster.Namespace {
	return &ofncluster.Namespace{T: e.T, Name: ofncluster.System}
}

// applyGlobal applies what names its namespace.
func (e edge) applyGlobal(manifest string) {
	e.T.Helper()
	if err := e.system().TryApply(manifest); err != nil {
		e.T.Fatal(err)
	}
}
