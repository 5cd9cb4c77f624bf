package ofncluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// edge is where a test cluster answers questions for names.
const edge = "10.123.0.1:53"

// Client speaks HTTP with the names of the cluster's Services. Each request has a connection of its own, so that it goes where the
// name leads now.
var Client = &http.Client{
	Timeout: time.Minute,
	Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second, Resolver: &net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, edge)
			},
		}}).DialContext,
	},
}

// Gateway is the address of ofn's gateway inside the cluster.
func Gateway(t testing.TB) string {
	t.Helper()
	s, err := suite.typed.CoreV1().Services(System).Get(t.Context(), "ofn-gateway", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(s.Spec.ClusterIP, "80")
}

// Address is how a function is called inside the cluster, as its status says.
func (n *Namespace) Address(function string) string {
	n.T.Helper()
	var address string
	n.Eventually("function "+function+" has an address", func() error {
		o, err := n.object("functions.core.openfunction.io/" + function)
		if err != nil {
			return err
		}
		address, err = internal(o)
		return err
	})
	return address
}

func internal(o *unstructured.Unstructured) (string, error) {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "addresses")
	for _, a := range all {
		a, _ := a.(map[string]any)
		if value, _ := a["value"].(string); a["type"] == "Internal" && value != "" {
			return strings.TrimSuffix(value, "/"), nil
		}
	}
	return "", errors.New("its status has no address of type Internal")
}

// Get calls a function of the namespace until it answers with 200 and returns what it said.
func (n *Namespace) Get(function, path string) string {
	n.T.Helper()
	var body string
	n.Eventually("function "+function+" answers", func() (err error) {
		body, err = n.TryGet(function, path)
		return err
	})
	return body
}

// TryGet calls a function of the namespace once; any answer but 200 is an error.
func (n *Namespace) TryGet(function, path string) (string, error) {
	o, err := n.object("functions.core.openfunction.io/" + function)
	if err != nil {
		return "", err
	}
	address, err := internal(o)
	if err != nil {
		return "", err
	}
	return Fetch(n.T.Context(), address+"/"+strings.TrimPrefix(path, "/"), "")
}

// Fetch gets a URL inside the cluster, under another name of the host if one is given.
func Fetch(ctx context.Context, url, host string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	res, err := Client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return string(body), fmt.Errorf("%s answered %s: %s", url, res.Status, body)
	}
	return string(body), nil
}
