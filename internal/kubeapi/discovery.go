package kubeapi

import (
	"fmt"
	"slices"
	"sync"

	apiextensionshelpers "k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionslisters "k8s.io/apiextensions-apiserver/pkg/client/listers/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/client-go/tools/cache"
)

// groupIndex keeps the list at /apis complete. The front server lists its own groups there and knows nothing of custom ones; in a
// Kubernetes cluster the aggregator, which this control plane does without, joins the two. (The newer, aggregated form of discovery
// is shared by both servers and needs no help.)
type groupIndex struct {
	groups discovery.GroupManager
	crds   apiextensionslisters.CustomResourceDefinitionLister

	mu     sync.Mutex
	listed map[string]bool // the groups that this index added
}

// indexGroups must run before the informers start.
func (s *apiServer) indexGroups() error {
	informer := s.crds.Informers.Apiextensions().V1().CustomResourceDefinitions()
	index := &groupIndex{groups: s.front.GenericAPIServer.DiscoveryGroupManager, crds: informer.Lister(), listed: map[string]bool{}}
	index.groups.AddGroup(group(apiextensionsv1.GroupName, []string{"v1"}))
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { index.refresh() },
		UpdateFunc: func(any, any) { index.refresh() },
		DeleteFunc: func(any) { index.refresh() },
	})
	if err != nil {
		return fmt.Errorf("watching custom resource definitions: %w", err)
	}
	return nil
}

// refresh lists what the cache holds now; there are tens of definitions at most.
func (i *groupIndex) refresh() {
	crds, err := i.crds.List(labels.Everything())
	if err != nil {
		return // a lister of a cache in memory cannot fail
	}
	versions := map[string][]string{}
	for _, crd := range crds {
		if !apiextensionshelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established) {
			continue
		}
		for _, v := range crd.Spec.Versions {
			if v.Served && !slices.Contains(versions[crd.Spec.Group], v.Name) {
				versions[crd.Spec.Group] = append(versions[crd.Spec.Group], v.Name)
			}
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for name := range i.listed {
		if _, still := versions[name]; !still {
			i.groups.RemoveGroup(name)
			delete(i.listed, name)
		}
	}
	for name, served := range versions {
		i.groups.AddGroup(group(name, served))
		i.listed[name] = true
	}
}

// group puts the most stable and newest version first, as clients prefer it.
func group(name string, versions []string) metav1.APIGroup {
	slices.SortFunc(versions, func(a, b string) int { return version.CompareKubeAwareVersionStrings(b, a) })
	g := metav1.APIGroup{Name: name}
	for _, v := range versions {
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v})
	}
	g.PreferredVersion = g.Versions[0]
	return g
}
