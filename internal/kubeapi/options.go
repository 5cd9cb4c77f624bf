package kubeapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// DefaultBindAddress and DefaultPort are where the API is served unless Options say otherwise.
const (
	DefaultBindAddress = "127.0.0.1"
	DefaultPort        = 7443
)

// AnyPort asks for a free port, as 0 does in package net; Options.Port 0 means DefaultPort.
const AnyPort = -1

// Options say where the control plane lives and what it holds from the first moment.
type Options struct {
	// DataDir holds everything that must survive: etcd, certificates, the kubeconfig. It is created (mode 0700) and locked.
	DataDir string
	// BindAddress is the IP address to listen on; empty means DefaultBindAddress.
	BindAddress string
	// Port is the TCP port to listen on; 0 means DefaultPort and AnyPort any free one.
	Port int
	// Hosts are further names and addresses that the serving certificate must be valid for.
	Hosts []string
	// CRDs are installed and established before Start returns, and again at each start.
	CRDs []*apiextensionsv1.CustomResourceDefinition
	// Objects are applied on the server's side at each start, in this order, after the CRDs. Each must carry its apiVersion and kind.
	Objects []runtime.Object
	// Describe, when not nil, gives further CRDs and objects that must know the certificate authority and the URL of this
	// server, such as webhooks it calls on itself. It is called once, before anything is installed.
	Describe func(ca []byte, url string) ([]*apiextensionsv1.CustomResourceDefinition, []runtime.Object)
	// Handlers serves further paths, by prefix ("/ofn/"), behind the same authentication and, as nonResourceURLs, the same RBAC.
	// Their requests have no deadline and do not count against the limits of the API: a handler bounds its own work.
	Handlers map[string]http.Handler
	// Log receives what the control plane has to say; nil discards it. See RouteKlog for the libraries' own log.
	Log *slog.Logger
}

// withDefaults fills what may be left empty and refuses what cannot work.
func (o Options) withDefaults() (Options, error) {
	if o.DataDir == "" {
		return o, errors.New("the control plane needs a data directory")
	}
	if o.BindAddress == "" {
		o.BindAddress = DefaultBindAddress
	}
	if net.ParseIP(o.BindAddress) == nil {
		return o, fmt.Errorf("%q is not an IP address to listen on", o.BindAddress)
	}
	switch {
	case o.Port == 0:
		o.Port = DefaultPort
	case o.Port == AnyPort:
		o.Port = 0
	case o.Port < 0 || o.Port > 65535:
		return o, fmt.Errorf("%d is not a port: use 1 to 65535", o.Port)
	}
	for prefix := range o.Handlers {
		if err := checkPrefix(prefix); err != nil {
			return o, err
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// checkPrefix refuses handlers that would hide the Kubernetes API.
func checkPrefix(prefix string) error {
	if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") || prefix == "/" {
		return fmt.Errorf("handler prefix %q: want the form \"/name/\"", prefix)
	}
	for _, taken := range []string{"/api/", "/apis/", "/openapi/", "/version/", "/healthz/", "/livez/", "/readyz/", "/metrics/"} {
		if strings.HasPrefix(prefix, taken) {
			return fmt.Errorf("handler prefix %q: %s belongs to the Kubernetes API", prefix, taken)
		}
	}
	return nil
}

func (o Options) address() string { return net.JoinHostPort(o.BindAddress, strconv.Itoa(o.Port)) }
