// Package kubeapi serves the Kubernetes API from inside this process: etcd, the generic control plane of Kubernetes (namespaces,
// secrets, config maps, events, service accounts, RBAC, custom resources; no pods and no nodes), and the few controllers without which
// that API would not keep its promises: garbage collection by owner reference, namespace deletion, ClusterRole aggregation.
//
// The way of one start, by file:
//
//	datadir.go     lock the data directory, check its format
//	pki.go         certificates and keys, kubeconfig.go the file that kubectl reads
//	etcd.go        etcd without a single listener: its only client dials it through memory
//	apiserver.go   the chain of the two API servers; authn.go who asks; authz.go what they may
//	discovery.go   and openapi.go: what kubectl asks before it does anything
//	controllers.go the controllers named above
//	install.go     CRDs and default objects, applied on the server's side
package kubeapi
