package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/pflag"
	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/openfunction/ofn/internal/control/admission"
	"github.com/openfunction/ofn/internal/control/webhook/certify"
	"github.com/openfunction/ofn/internal/control/webhook/configure"
)

// webhookSettings are what `ofn operator` can be told of its webhooks.
type webhookSettings struct {
	on      bool
	service string
	url     string
	port    int
	host    string // to listen on; all of the machine's addresses when empty
}

func (s *webhookSettings) bind(f *pflag.FlagSet) {
	f.BoolVar(&s.on, "webhooks", true, "default, check and convert objects as the API server asks for it")
	f.StringVar(&s.service, "webhook-service", "ofn-webhook", "Service in --own-namespace in front of the webhooks, at its port 443; its certificate is kept in the Secret NAME-certificates")
	f.IntVar(&s.port, "webhook-port", webhook.DefaultPort, "port of the webhooks")
	f.StringVar(&s.url, "webhook-url", "", "where the API server finds the webhooks when there is no Service, as https://host:port: for an operator outside of the cluster")
}

// names are those that the API server may know the webhooks by.
func (s *webhookSettings) names(namespace, clusterDomain string) ([]string, error) {
	service := s.service + "." + namespace + ".svc"
	names := []string{service, service + "." + clusterDomain}
	if s.url == "" {
		return names, nil
	}
	u, err := url.Parse(s.url)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("--webhook-url %q is no address like https://host:port", s.url)
	}
	return append(names, u.Hostname()), nil
}

// What conversions may take up: the API server sends a whole list at once, and anybody in the cluster can send something.
const (
	conversionBytes = 64 << 20
	conversionTime  = 30 * time.Second
	conversions     = 2 // at a time
)

// operatorWebhooks adds the server of the webhooks to the operator, and what keeps its certificate and the configurations.
func operatorWebhooks(m ctrl.Manager, s *operatorSettings, log *slog.Logger) ([]registrable, error) {
	if !s.webhooks.on {
		return nil, nil
	}
	names, err := s.webhooks.names(s.ownNamespace, s.clusterDomain)
	if err != nil {
		return nil, err
	}
	secret := client.ObjectKey{Namespace: s.ownNamespace, Name: s.webhooks.service + "-certificates"}
	informers, err := webhookInformers(m, secret, s.namespace)
	if err != nil {
		return nil, err
	}
	served := &certify.Served{}
	server := webhook.NewServer(webhook.Options{Host: s.webhooks.host, Port: s.webhooks.port, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.MinVersion, c.GetCertificate = tls.VersionTLS12, served.GetCertificate
	}}})
	for path, handler := range admission.Handlers(admission.Options{Cluster: m.GetAPIReader()}) {
		if path == admission.PathConvert {
			handler = limited(handler)
		}
		server.Register(path, handler)
	}
	if err := m.Add(server); err != nil {
		return nil, fmt.Errorf("adding the server of the webhooks: %w", err)
	}
	ready := func(r *http.Request) error {
		if err := served.Check(time.Now()); err != nil {
			return err
		}
		return server.StartedChecker()(r)
	}
	if err := m.AddReadyzCheck("webhooks", ready); err != nil {
		return nil, fmt.Errorf("adding health checks: %w", err)
	}
	c := m.GetClient()
	return []registrable{
		certify.NewController(c, informers, certify.Options{Secret: secret, Informers: informers, Names: names, Served: served, Clock: clock.RealClock{}, Log: log}),
		configure.NewController(c, informers, configure.Options{Secret: secret, Informers: informers, Names: names,
			Service: client.ObjectKey{Namespace: s.ownNamespace, Name: s.webhooks.service}, Services: m.GetAPIReader(),
			URL: s.webhooks.url, Namespace: s.namespace, Clock: clock.RealClock{}, Log: log}),
	}, nil
}

// informer is a cache that every replica has, whichever leads.
type informer struct{ cache.Cache }

func (informer) NeedLeaderElection() bool { return false }

// webhookInformers hold the Secret and the two configurations, each by its name, and nothing else of their kinds.
func webhookInformers(m ctrl.Manager, secret client.ObjectKey, watched string) (cache.Cache, error) {
	named := func(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
	mutating, validating := configure.Names(watched)
	c, err := cache.New(m.GetConfig(), cache.Options{HTTPClient: m.GetHTTPClient(), Scheme: m.GetScheme(), Mapper: m.GetRESTMapper(),
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{secret.Namespace: {FieldSelector: named(secret.Name)}}},
			&admissionregv1.MutatingWebhookConfiguration{}:   {Field: named(mutating)},
			&admissionregv1.ValidatingWebhookConfiguration{}: {Field: named(validating)},
		}})
	if err != nil {
		return nil, fmt.Errorf("watching the certificate of the webhooks: %w", err)
	}
	if err := m.Add(informer{c}); err != nil {
		return nil, fmt.Errorf("watching the certificate of the webhooks: %w", err)
	}
	return c, nil
}

// limited bounds what conversions take up. One that comes while others are under way waits for as long as its caller does.
func limited(next http.Handler) http.Handler {
	slots := make(chan struct{}, conversions)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		defer func() { <-slots }()
		// What can have no deadline is no connection to anybody.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(conversionTime))
		http.MaxBytesHandler(next, conversionBytes).ServeHTTP(w, r)
	})
}
