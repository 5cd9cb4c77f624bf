package kubeapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	apiextensionsoptions "k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	genericapifilters "k8s.io/apiserver/pkg/endpoints/filters"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/filters"
	serveroptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/util/notfoundhandler"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	controlplane "k8s.io/kubernetes/pkg/controlplane/apiserver"
	admissionregistrationrest "k8s.io/kubernetes/pkg/registry/admissionregistration/rest"
	authenticationrest "k8s.io/kubernetes/pkg/registry/authentication/rest"
	authorizationrest "k8s.io/kubernetes/pkg/registry/authorization/rest"
	coordinationrest "k8s.io/kubernetes/pkg/registry/coordination/rest"
	corerest "k8s.io/kubernetes/pkg/registry/core/rest"
	eventsrest "k8s.io/kubernetes/pkg/registry/events/rest"
)

const (
	eventTTL = time.Hour
	// drainTimeout is how long a stop waits for open connections, watches among them, that do not end by themselves.
	drainTimeout = 2 * time.Second
	// loopbackName is the TLS name of the client of this process.
	loopbackName = "ofn-loopback"
)

// apiServer is the chain of the two API servers: built-in kinds in front, custom resources behind.
type apiServer struct {
	config   *genericapiserver.Config
	loopback *rest.Config
	client   kubernetes.Interface
	shared   informers.SharedInformerFactory
	front    *controlplane.Server
	crds     *apiextensionsapiserver.CustomResourceDefinitions
}

// chain is what the two servers are built from.
type chain struct {
	options  Options
	pki      *pki
	etcd     *etcdServer
	listener net.Listener
	renew    func() (*keyPair, error) // the serving certificate, renewed when it is due
}

// build wires the servers; nothing is served yet.
func (c chain) build(ctx context.Context) (*apiServer, error) {
	s := &apiServer{config: genericapiserver.NewConfig(legacyscheme.Codecs)}
	if err := c.secure(s); err != nil {
		return nil, err
	}
	c.configure(s.config)
	var err error
	if s.client, err = kubernetes.NewForConfig(s.loopback); err != nil {
		return nil, fmt.Errorf("making the loopback client: %w", err)
	}
	s.shared = informers.NewSharedInformerFactoryWithOptions(s.client, 0, informers.WithTransform(trim))
	describe(s.config)
	etcd := etcdOptions(s.config, c.etcd.dial)
	storage, err := storeNative(s.config, etcd)
	if err != nil {
		return nil, err
	}
	tokens, err := newServiceAccounts(c.pki)
	if err != nil {
		return nil, err
	}
	if err := authenticate(ctx, s.config, c.pki, tokens, s.client, s.shared); err != nil {
		return nil, err
	}
	authorize(s.config, s.shared)
	if err := admit(s); err != nil {
		return nil, err
	}
	if err := s.buildCRDServer(etcd); err != nil {
		return nil, err
	}
	return s, s.buildFront(storage, tokens)
}

// trim drops what no cached reader of this process looks at.
func trim(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

// secure sets the listener, the certificates and the privileged client of this process.
func (c chain) secure(s *apiServer) error {
	cert := &servingContent{renew: c.renew, log: c.options.Log, pair: c.pki.serving}
	s.config.SecureServing = &genericapiserver.SecureServingInfo{Listener: c.listener, Cert: cert}
	s.config.PublicAddress = net.ParseIP(c.options.BindAddress)
	token, err := randomToken()
	if err != nil {
		return err
	}
	s.loopback = &rest.Config{
		Host:               "https://" + c.listener.Addr().String(),
		BearerToken:        token,
		TLSClientConfig:    rest.TLSClientConfig{CAData: c.pki.ca.certPEM, ServerName: loopbackName},
		ContentConfig:      rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf"},
		DisableCompression: true,
		QPS:                -1,
		WarningHandler:     rest.NoWarnings{},
	}
	s.config.LoopbackClientConfig = s.loopback
	return nil
}

// configure turns off what one machine has no use for.
func (c chain) configure(config *genericapiserver.Config) {
	config.EffectiveVersion = newEffectiveVersion()
	config.MergedResourceConfig = servedResources()
	config.AggregatedDiscoveryGroupManager = aggregated.NewResourceManager("apis")
	config.EnableProfiling = false
	config.FlowControl = nil
	config.ShutdownSendRetryAfter = true
	config.ShutdownWatchTerminationGracePeriod = drainTimeout
	longRunning := filters.BasicLongRunningRequestCheck(sets.NewString("watch"), sets.NewString())
	config.LongRunningFunc = func(r *http.Request, info *apirequest.RequestInfo) bool {
		return longRunning(r, info) || c.extra(r.URL.Path)
	}
}

// extra says whether a path belongs to one of the further handlers.
func (c chain) extra(path string) bool {
	for prefix := range c.options.Handlers {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// buildCRDServer wires the server of custom resources, which sees what the front server does not know.
func (s *apiServer) buildCRDServer(etcd *serveroptions.EtcdOptions) error {
	config := *s.config
	config.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	config.RESTOptionsGetter = nil
	config.SkipOpenAPIInstallation = true // the front server describes both
	config.MergedResourceConfig = apiextensionsapiserver.DefaultAPIResourceConfigSource()
	if err := storeCRDs(&config, *etcd); err != nil {
		return err
	}
	services, auth, err := s.webhooks()
	if err != nil {
		return err
	}
	crds := apiextensionsapiserver.Config{
		GenericConfig: &genericapiserver.RecommendedConfig{Config: config, SharedInformerFactory: s.shared},
		ExtraConfig: apiextensionsapiserver.ExtraConfig{
			CRDRESTOptionsGetter: apiextensionsoptions.NewCRDRESTOptionsGetter(*etcd, config.ResourceTransformers, config.StorageObjectCountTracker),
			MasterCount:          1, // with more, establishing a CRD waits 5 s for the others
			ServiceResolver:      services,
			AuthResolverWrapper:  auth,
		},
	}
	missing := notfoundhandler.New(config.Serializer, genericapifilters.NoMuxAndDiscoveryIncompleteKey)
	if s.crds, err = crds.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(missing)); err != nil {
		return fmt.Errorf("making the server of custom resources: %w", err)
	}
	return nil
}

// buildFront wires the server that all requests reach first.
func (s *apiServer) buildFront(storage *serverstorage.DefaultStorageFactory, tokens *serviceAccounts) error {
	s.pruneApplied()
	generic, err := s.config.Complete(s.shared).New("ofn", s.crds.GenericAPIServer)
	if err != nil {
		return fmt.Errorf("making the API server: %w", err)
	}
	generic.ShutdownTimeout = drainTimeout
	s.front = &controlplane.Server{
		GenericAPIServer:        generic,
		APIResourceConfigSource: storage.APIResourceConfigSource,
		RESTOptionsGetter:       s.config.RESTOptionsGetter,
		VersionedInformers:      s.shared,
	}
	authn, authz := s.config.Authentication, s.config.Authorization.Authorizer
	core := &corerest.GenericConfig{
		StorageFactory:       storage,
		EventTTL:             eventTTL,
		ServiceAccountIssuer: tokens.issuer,
		APIAudiences:         authn.APIAudiences,
		LoopbackClientConfig: s.loopback,
		Informers:            s.shared,
	}
	err = s.front.InstallAPIs(core,
		authenticationrest.RESTStorageProvider{Authenticator: authn.Authenticator, APIAudiences: authn.APIAudiences},
		authorizationrest.RESTStorageProvider{Authorizer: authz, RuleResolver: s.config.RuleResolver},
		coordinationrest.RESTStorageProvider{},
		roleStorage{authorizer: authz},
		admissionregistrationrest.RESTStorageProvider{Authorizer: authz, DiscoveryClient: s.client.Discovery()},
		eventsrest.RESTStorageProvider{TTL: eventTTL},
	)
	if err != nil {
		return fmt.Errorf("installing the built-in kinds: %w", err)
	}
	return s.indexGroups()
}
