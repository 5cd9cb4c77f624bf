package edge

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// IngressClass is what Knative must be told to put on its Ingress objects for this ingress to take them.
const IngressClass = "test.ingress.networking.knative.dev"

// ingressHost is the name that Knative's Services lead to; only the answers to questions for names know it.
const ingressHost = "ingress.kube-system" + zone

var ingresses = schema.GroupVersionResource{Group: "networking.internal.knative.dev", Version: "v1alpha1", Resource: "ingresses"}

// ingress routes requests as Knative's Ingress objects say, without TLS, and marks each of them ready.
type ingress struct {
	directory  *directory
	client     dynamic.Interface
	discovery  discovery.DiscoveryInterface
	log        *slog.Logger
	transports transports
	routes     atomic.Pointer[map[string][]route] // by host
}

// The fields of an Ingress that are used here.
type (
	ingressSpec struct {
		Rules []struct {
			Hosts []string `json:"hosts"`
			HTTP  struct {
				Paths []route `json:"paths"`
			} `json:"http"`
		} `json:"rules"`
	}
	route struct {
		Path    string `json:"path"`
		Headers map[string]struct {
			Exact string `json:"exact"`
		} `json:"headers"`
		RewriteHost   string            `json:"rewriteHost"`
		AppendHeaders map[string]string `json:"appendHeaders"`
		Splits        []split           `json:"splits"`
	}
	split struct {
		Namespace     string             `json:"serviceNamespace"`
		Service       string             `json:"serviceName"`
		Port          intstr.IntOrString `json:"servicePort"`
		Percent       int                `json:"percent"`
		AppendHeaders map[string]string  `json:"appendHeaders"`
	}
)

// watch follows the Ingress objects until ctx ends, from the moment that their kind exists.
func (g *ingress) watch(ctx context.Context) error {
	if err := wait.PollUntilContextCancel(ctx, time.Second, true, func(context.Context) (bool, error) {
		_, err := g.discovery.ServerResourcesForGroupVersion(ingresses.GroupVersion().String())
		return err == nil, nil
	}); err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(g.client, 0)
	informer := factory.ForResource(ingresses)
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() },
	}); err != nil {
		return fmt.Errorf("watching ingresses: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		objects, err := informer.Lister().List(labels.Everything())
		if err != nil {
			return fmt.Errorf("listing ingresses: %w", err)
		}
		g.take(ctx, objects)
	}
}

// take makes objects what is served, then marks each ready that does not say so yet.
func (g *ingress) take(ctx context.Context, objects []runtime.Object) {
	routes := map[string][]route{}
	for _, o := range objects {
		var spec ingressSpec
		u := o.(*unstructured.Unstructured)
		content, _, _ := unstructured.NestedMap(u.Object, "spec")
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &spec); err != nil {
			g.log.Error("an ingress is not understood", "name", u.GetName(), "error", err)
			continue
		}
		for _, rule := range spec.Rules {
			for _, host := range rule.Hosts {
				routes[host] = append(routes[host], rule.HTTP.Paths...)
			}
		}
	}
	g.routes.Store(&routes)
	for _, o := range objects {
		u := o.(*unstructured.Unstructured)
		if observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); observed == u.GetGeneration() {
			continue
		}
		if err := g.markReady(ctx, u.DeepCopy()); err != nil {
			g.log.Warn("marking an ingress ready, which is tried again when it changes", "name", u.GetName(), "error", err)
		}
	}
}

func (g *ingress) markReady(ctx context.Context, u *unstructured.Unstructured) error {
	now := time.Now().UTC().Format(time.RFC3339)
	var conditions []any
	for _, kind := range []string{"LoadBalancerReady", "NetworkConfigured", "Ready"} {
		conditions = append(conditions, map[string]any{"type": kind, "status": "True", "lastTransitionTime": now})
	}
	balancer := map[string]any{"ingress": []any{map[string]any{"domainInternal": ingressHost}}}
	u.Object["status"] = map[string]any{
		"observedGeneration": u.GetGeneration(), "conditions": conditions,
		"publicLoadBalancer": balancer, "privateLoadBalancer": balancer,
	}
	_, err := g.client.Resource(ingresses).Namespace(u.GetNamespace()).UpdateStatus(ctx, u, metav1.UpdateOptions{})
	return err
}

// find returns the most specific route for r: the one with the most headers, then with the longest path.
func (g *ingress) find(r *http.Request) (best route, found bool) {
	routes := g.routes.Load()
	if routes == nil {
		return route{}, false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		host = h
	}
	for _, candidate := range (*routes)[host] {
		fits := strings.HasPrefix(r.URL.Path, candidate.Path)
		for name, want := range candidate.Headers {
			fits = fits && r.Header.Get(name) == want.Exact
		}
		better := len(candidate.Headers) > len(best.Headers) ||
			len(candidate.Headers) == len(best.Headers) && len(candidate.Path) > len(best.Path)
		if fits && (!found || better) {
			best, found = candidate, true
		}
	}
	return best, found && len(best.Splits) > 0
}

func (r route) pick(n int) split {
	for _, s := range r.Splits {
		if n -= s.Percent; n < 0 {
			return s
		}
	}
	return r.Splits[len(r.Splits)-1]
}

func (g *ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to, found := g.find(r)
	if !found {
		http.Error(w, "no ingress has this host and path", http.StatusNotFound)
		return
	}
	s := to.pick(rand.IntN(100))
	target, h2c, err := g.resolve(s)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Transport: g.transports.of(h2c), Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.SetXForwarded()
		p.Out.Host = r.Host
		if to.RewriteHost != "" {
			p.Out.Host = to.RewriteHost
		}
		for _, headers := range []map[string]string{to.AppendHeaders, s.AppendHeaders} {
			for name, value := range headers {
				p.Out.Header.Set(name, value)
			}
		}
	}}
	proxy.ServeHTTP(w, r)
}

// resolve returns where s leads to, and whether HTTP/2 without TLS is spoken there.
func (g *ingress) resolve(s split) (*url.URL, bool, error) {
	ips, _ := g.directory.lookup(s.Service + "." + s.Namespace + zone)
	if len(ips) == 0 {
		return nil, false, fmt.Errorf("service %s/%s has no address", s.Namespace, s.Service)
	}
	port, h2c := s.Port.String(), false
	if svc, err := g.directory.services.Services(s.Namespace).Get(s.Service); err == nil {
		for _, p := range svc.Spec.Ports {
			if p.Name == port || fmt.Sprint(p.Port) == port {
				port, h2c = fmt.Sprint(p.Port), p.Name == "h2c" || p.Name == "http2"
			}
		}
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(ips[0], port)}, h2c, nil
}

// transports reuses connections: one for either protocol.
type transports struct{ http1, http2 *http.Transport }

func newTransports() transports {
	t := transports{http1: &http.Transport{MaxIdleConnsPerHost: 64}, http2: &http.Transport{Protocols: new(http.Protocols)}}
	t.http2.Protocols.SetUnencryptedHTTP2(true)
	return t
}

func (t transports) of(h2c bool) *http.Transport {
	if h2c {
		return t.http2
	}
	return t.http1
}
