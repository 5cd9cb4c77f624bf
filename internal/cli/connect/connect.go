// Package connect finds the control plane that a command talks to and makes the clients for it.
package connect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// Options say which control plane is meant. Empty fields mean the default.
type Options struct {
	Kubeconfig, Context, Namespace string

	// Server is the URL of an API server, used without any kubeconfig unless Kubeconfig is given too.
	Server, Token, CertificateAuthority string
	Insecure                            bool
	As                                  string

	// EnvKubeconfig is the value of $KUBECONFIG: a list of paths.
	EnvKubeconfig string
	// DataDir of `ofn up` and Home of the user are where kubeconfigs are looked for next.
	DataDir, Home string

	UserAgent string
	// Warnings gets what the server has to say beside its answer, once each.
	Warnings io.Writer
}

// Cluster is a control plane, not yet contacted.
type Cluster struct {
	// Client reads and writes objects of any kind; those of this project are typed.
	Client client.WithWatch
	// REST asks for what Client has no method for.
	REST rest.Interface
	// HTTP has the credentials for requests below URL.
	HTTP *http.Client
	// URL of the API server.
	URL *url.URL
	// Namespace of commands that name none.
	Namespace string
	// NamespaceGiven tells that it comes from the command line.
	NamespaceGiven bool
	// Local tells that it was found as the control plane of `ofn up` on this machine.
	Local bool
}

// ErrNone says that there is nothing to talk to.
var ErrNone = errors.New("no control plane is known: start one on this machine with `ofn up`, or name one with --kubeconfig, $KUBECONFIG or --server and --token")

// Open reads the configuration and makes the clients. Nothing is sent yet.
func Open(o Options) (*Cluster, error) {
	loader, local, err := o.loader()
	if err != nil {
		return nil, err
	}
	config, err := loader.ClientConfig()
	if err != nil {
		if clientcmd.IsEmptyConfig(err) {
			return nil, ErrNone
		}
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, given, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS, config.UserAgent = -1, o.UserAgent
	config.WarningHandler = rest.NewWarningWriter(o.Warnings, rest.WarningWriterOptions{Deduplicate: true})
	c, err := clients(config)
	if err != nil {
		return nil, err
	}
	c.Namespace, c.NamespaceGiven, c.Local = namespace, given && o.Namespace != "", local
	return c, nil
}

// loader chooses the kubeconfig: the flag, the environment, that of `ofn up`, that of the user.
func (o Options) loader() (loader clientcmd.ClientConfig, local bool, err error) {
	rules := &clientcmd.ClientConfigLoadingRules{}
	switch own, home := filepath.Join(o.DataDir, "control", "kubeconfig"), filepath.Join(o.Home, ".kube", "config"); {
	case o.Kubeconfig != "":
		rules.ExplicitPath = o.Kubeconfig
	case o.Server != "":
	case o.EnvKubeconfig != "":
		rules.Precedence = filepath.SplitList(o.EnvKubeconfig)
	case o.DataDir != "" && exists(own):
		rules.ExplicitPath, local = own, true
	case o.Home != "" && exists(home):
		rules.ExplicitPath = home
	}
	if rules.ExplicitPath != "" {
		f, err := os.Open(rules.ExplicitPath)
		switch {
		case local && errors.Is(err, fs.ErrPermission):
			return nil, false, fmt.Errorf("reading the kubeconfig of `ofn up`, which another user runs: %w; run this as that user, or name a copy of it with --kubeconfig", err)
		case err != nil:
			return nil, false, fmt.Errorf("reading the kubeconfig: %w", err)
		}
		f.Close()
	}
	overrides := &clientcmd.ConfigOverrides{
		CurrentContext: o.Context,
		Context:        clientcmdapi.Context{Namespace: o.Namespace},
		ClusterInfo:    clientcmdapi.Cluster{Server: o.Server, CertificateAuthority: o.CertificateAuthority, InsecureSkipTLSVerify: o.Insecure},
		AuthInfo:       clientcmdapi.AuthInfo{Token: o.Token, Impersonate: o.As},
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides), local, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func clients(config *rest.Config) (*Cluster, error) {
	fail := func(err error) (*Cluster, error) { return nil, fmt.Errorf("preparing the connection: %w", err) }
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return fail(err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return fail(err)
	}
	s := Scheme()
	dynamic, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		return fail(err)
	}
	c, err := client.NewWithWatch(config, client.Options{HTTPClient: httpClient, Scheme: s,
		Mapper: meta.FirstHitRESTMapper{MultiRESTMapper: meta.MultiRESTMapper{known(), dynamic}}})
	if err != nil {
		return fail(err)
	}
	plain := rest.CopyConfig(config)
	plain.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	raw, err := rest.UnversionedRESTClientForConfigAndClient(plain, httpClient)
	if err != nil {
		return fail(err)
	}
	return &Cluster{Client: c, REST: raw, HTTP: httpClient, URL: base}, nil
}

// Scheme knows the kinds that commands handle typed.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1beta2.AddToScheme, networking.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two packages of this program claim one kind
		}
	}
	return s
}

// known spares the commands the discovery of the kinds they always use.
func known() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Function", "Builder", "Serving"} {
		m.Add(v1beta2.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	m.Add(networking.GroupVersion.WithKind("Gateway"), meta.RESTScopeNamespace)
	for _, kind := range []string{"Event", "Pod", "Secret", "ConfigMap"} {
		m.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	return m
}
