package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/config/crd"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/kubeapi"
)

// cluster is an API server with a scripted Knative, behind a proxy that counts.
type cluster struct {
	server *kubeapi.Server
	client client.WithWatch
	proxy  *http.Server
	url    string
	reads  atomic.Int64
	writes atomic.Int64
	mu     sync.Mutex
	kinds  map[string]int // requests by method and kind
	end    context.CancelFunc
	ended  sync.WaitGroup
}

// counts are requests.
type counts struct{ reads, writes int64 }

func (c counts) all() int64 { return c.reads + c.writes }
func (c counts) since(before counts) counts {
	return counts{c.reads - before.reads, c.writes - before.writes}
}

func newCluster(ctx context.Context, dir string) (*cluster, error) {
	crds, err := crd.Objects()
	if err != nil {
		return nil, err
	}
	crds = append(crds, definition("Revision", "revisions"), definition("Service", "services"))
	server, err := kubeapi.Start(ctx, kubeapi.Options{DataDir: dir, Port: kubeapi.AnyPort, CRDs: crds, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	c := &cluster{server: server, kinds: map[string]int{}}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta2.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	config := server.Config()
	config.QPS, config.ContentType, config.AcceptContentTypes = -1, "application/json", ""
	if c.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "openfunction"}}
	if err := c.client.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	if err := c.serve(ctx, config); err != nil {
		return nil, err
	}
	playing, end := context.WithCancel(context.Background())
	c.end = end
	knative, err := newKnative(config, scheme)
	if err != nil {
		return nil, err
	}
	c.ended.Go(func() { _ = knative.Start(playing) }) // without it nothing becomes ready, which is seen
	return c, nil
}

// serve counts what goes to the API server.
func (c *cluster) serve(ctx context.Context, config *rest.Config) error {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return err
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	to := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	c.url = "http://" + l.Addr().String()
	c.proxy = &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/leases"), r.URL.Query().Get("watch") != "":
		case r.Method == http.MethodGet:
			c.reads.Add(1)
		default:
			c.writes.Add(1)
		}
		c.note(r)
		to.ServeHTTP(w, r)
	})}
	c.ended.Go(func() { _ = c.proxy.Serve(l) }) // it ends with close
	return nil
}

// note counts a request by its kind.
func (c *cluster) note(r *http.Request) {
	if r.URL.Query().Get("watch") != "" {
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	kind := r.Method
	for i, p := range parts {
		if i > 0 && parts[i-1] == "namespaces" && i+1 < len(parts) || i > 0 && i == len(parts)-1 && len(parts) > 6 && p != "status" {
			continue // names of namespaces and objects
		}
		if strings.HasPrefix(p, "fn-") {
			p = "*"
		}
		kind += "/" + p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds[kind]++
}

// busiest are the kinds of requests that were made most, and how often.
func (c *cluster) busiest(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	kinds := slices.SortedFunc(maps.Keys(c.kinds), func(a, b string) int { return cmp.Or(c.kinds[b]-c.kinds[a], strings.Compare(a, b)) })
	var out strings.Builder
	for _, k := range kinds[:min(n, len(kinds))] {
		fmt.Fprintf(&out, "%8d  %s\n", c.kinds[k], k)
	}
	return out.String()
}

func (c *cluster) counts() counts { return counts{c.reads.Load(), c.writes.Load()} }

// kubeconfig leads to the proxy, which is who it says.
func (c *cluster) kubeconfig() []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: bench
contexts: [{name: bench, context: {cluster: bench, user: bench}}]
clusters: [{name: bench, cluster: {server: %q}}]
users: [{name: bench, user: {}}]
`, c.url)
}

func (c *cluster) close() error {
	c.end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = c.proxy.Close() // its watches never end by themselves
	c.ended.Wait()
	return c.server.Close(ctx)
}

// fill makes Functions with images.
func (c *cluster) fill(ctx context.Context, n int) error {
	for i := range n {
		fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name(i)}}
		fn.Spec.Image = "registry.example.com/hello:1"
		fn.Spec.Serving = &v1beta2.FunctionServing{}
		fn.Spec.Serving.Params = map[string]string{"GREETING": "hello", "NUMBER": fmt.Sprint(i)}
		fn.Spec.Serving.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{}}
		if err := c.client.Create(ctx, fn); err != nil {
			return fmt.Errorf("making function %d: %w", i, err)
		}
	}
	return nil
}

// allReady waits until as many Functions are.
func (c *cluster) allReady(ctx context.Context, n int) error {
	ready := map[string]bool{}
	for ctx.Err() == nil {
		changes, err := c.client.Watch(ctx, &v1beta2.FunctionList{}) // it begins with those that there are
		if err != nil {
			return err
		}
		for e := range changes.ResultChan() {
			fn, ok := e.Object.(*v1beta2.Function)
			if !ok {
				continue
			}
			is := condition.Get(fn.Status.Conditions, v1beta2.ConditionReady)
			if is == nil || is.Status != metav1.ConditionTrue || ready[fn.Name] {
				continue
			}
			ready[fn.Name] = true
			if len(ready)%500 == 0 {
				slog.Info("ready", "functions", len(ready), "of", n)
			}
			if len(ready) >= n {
				changes.Stop()
				return nil
			}
		}
	}
	return fmt.Errorf("%d of %d functions are ready: %w", len(ready), n, ctx.Err())
}
