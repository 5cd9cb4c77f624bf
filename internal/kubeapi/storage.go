package kubeapi

import (
	"context"
	"fmt"
	"net"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/egressselector"
	serveroptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/kubernetes/pkg/kubeapiserver"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"

	"github.com/openfunction/ofn/internal/kubeapi/etcdlog"
)

// etcdOptions say how the API servers reach the store: through memory, at an address that is only a name.
func etcdOptions(config *genericapiserver.Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) *serveroptions.EtcdOptions {
	_ = etcdlog.Silenced // the clients made by these options
	backend := storagebackend.NewDefaultConfig(kubeoptions.DefaultEtcdPathPrefix, nil)
	backend.Transport.ServerList = []string{"http://127.0.0.1:2379"}
	backend.Transport.EgressLookup = func(egressselector.NetworkContext) (utilnet.DialFunc, error) { return dial, nil }
	backend.StorageObjectCountTracker = config.StorageObjectCountTracker
	options := serveroptions.NewEtcdOptions(backend)
	options.DefaultStorageMediaType = "application/vnd.kubernetes.protobuf"
	return options
}

// storeNative prepares the storage of the built-in kinds.
func storeNative(config *genericapiserver.Config, etcd *serveroptions.EtcdOptions) (*serverstorage.DefaultStorageFactory, error) {
	factory := kubeapiserver.NewStorageFactoryConfigEffectiveVersion(config.EffectiveVersion)
	factory.APIResourceConfig = config.MergedResourceConfig
	factory.DefaultResourceEncoding.SetEffectiveVersion(config.EffectiveVersion)
	storage, err := factory.Complete(etcd).New()
	if err != nil {
		return nil, fmt.Errorf("preparing storage: %w", err)
	}
	if err := etcd.ApplyWithStorageFactoryTo(storage, config); err != nil {
		return nil, fmt.Errorf("preparing storage: %w", err)
	}
	return storage, nil
}

// storeCRDs prepares the storage of the custom resource definitions themselves.
func storeCRDs(config *genericapiserver.Config, etcd serveroptions.EtcdOptions) error {
	codecs := apiextensionsapiserver.Codecs
	etcd.StorageConfig.Codec = codecs.LegacyCodec(apiextensionsv1.SchemeGroupVersion)
	etcd.StorageConfig.EncodeVersioner = runtime.NewMultiGroupVersioner(apiextensionsv1.SchemeGroupVersion,
		schema.GroupKind{Group: apiextensionsv1.GroupName})
	etcd.SkipHealthEndpoints = true // the front server has them
	if err := etcd.ApplyTo(config); err != nil {
		return fmt.Errorf("preparing the storage of custom resource definitions: %w", err)
	}
	return nil
}
