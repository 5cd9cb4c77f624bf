package kubeapi

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// patience bounds every wait of the tests: only a failure takes that long.
const patience = 3 * time.Minute

var serveDir = flag.String("kubeapi.serve", "", "internal: be a server on this data directory until killed")

// shared is a server that the tests which disturb nobody else use together.
var shared struct {
	sync.Mutex
	server *Server
	dir    string
}

func TestMain(m *testing.M) {
	flag.Parse()
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	RouteKlog(quiet)
	if *serveDir != "" {
		os.Exit(serveUntilKilled(*serveDir))
	}
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Close(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "closing the shared server:", err)
			code = 1
		}
		os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// start runs a server for one test; a port of its own unless the options say otherwise.
func start(t *testing.T, options Options) *Server {
	t.Helper()
	server, err := tryStart(t, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

func tryStart(t *testing.T, options Options) (*Server, error) {
	t.Helper()
	if options.DataDir == "" {
		options.DataDir = t.TempDir()
	}
	if options.Port == 0 {
		options.Port = AnyPort
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return Start(ctx, options)
}

func stop(t *testing.T, server *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// sharedServer has the CRD of widgets and the handlers of handlers_test.go.
func sharedServer(t *testing.T) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		return shared.server
	}
	dir, err := os.MkdirTemp("", "kubeapi-test-")
	if err != nil {
		t.Fatal(err)
	}
	server, err := tryStart(t, Options{
		DataDir:  dir,
		CRDs:     []*apiextensionsv1.CustomResourceDefinition{widgetCRD()},
		Handlers: testHandlers(),
	})
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	shared.server, shared.dir = server, dir
	return server
}

// clients are those of the administrator, through the kubeconfig, as a user has them.
type clients struct {
	*kubernetes.Clientset
	dynamic *dynamic.DynamicClient
	config  *rest.Config
}

func administrator(t *testing.T, server *Server) clients {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", server.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	return clientsFor(t, config)
}

func clientsFor(t *testing.T, config *rest.Config) clients {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return clients{Clientset: typed, dynamic: untyped, config: config}
}

// eventually waits for a state that controllers bring about.
func eventually(t *testing.T, what string, reached func(ctx context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		ok, err := reached(ctx)
		if ok && err == nil {
			return
		}
		last = err
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v (last error: %v)", what, patience, last)
		}
	}
}

// widgetCRD has a status subresource, a default, a validated field and a second version.
func widgetCRD() *apiextensionsv1.CustomResourceDefinition {
	one := 1.0
	schema := &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
		Type: "object",
		Properties: map[string]apiextensionsv1.JSONSchemaProps{
			"spec": {Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{
				"size":  {Type: "integer", Minimum: &one, Default: &apiextensionsv1.JSON{Raw: []byte("3")}},
				"color": {Type: "string"},
			}},
			"status": {Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"ready": {Type: "boolean"}}},
		},
	}}
	version := func(name string, storage bool) apiextensionsv1.CustomResourceDefinitionVersion {
		return apiextensionsv1.CustomResourceDefinitionVersion{
			Name: name, Served: true, Storage: storage, Schema: schema,
			Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
		}
	}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets.test.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group:    "test.example.com",
			Scope:    apiextensionsv1.NamespaceScoped,
			Names:    apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Singular: "widget", Kind: "Widget", ListKind: "WidgetList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{version("v1beta1", false), version("v1", true)},
		},
	}
}
