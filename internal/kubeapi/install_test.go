package kubeapi

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// lists is what a server lists: the first kind from the first question on, the second from the third.
type lists struct {
	discovery.DiscoveryInterface
	asked int
	fails error
}

func (l *lists) ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	l.asked++
	if l.fails != nil {
		return nil, nil, l.fails
	}
	version := metav1.GroupVersionForDiscovery{GroupVersion: "g.example.com/v1", Version: "v1"}
	groups := []*metav1.APIGroup{{Name: "g.example.com", Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}}
	resources := &metav1.APIResourceList{GroupVersion: version.GroupVersion, APIResources: []metav1.APIResource{{Name: "firsts", Kind: "First"}}}
	if l.asked > 2 {
		resources.APIResources = append(resources.APIResources, metav1.APIResource{Name: "seconds", Kind: "Second"})
	}
	return groups, []*metav1.APIResourceList{resources}, nil
}

// TestAwaitListed: a definition is established a moment before clients find it, and ofn must not give up then.
func TestAwaitListed(t *testing.T) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	crd.Spec.Group, crd.Spec.Names.Kind = "g.example.com", "Second"
	crd.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true}, {Name: "v0"}}
	first := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "g.example.com/v1", Kind: "First"}}
	never := schema.GroupVersionKind{Group: "g.example.com", Version: "v1", Kind: "Third"}
	refused := errors.New("refused")
	synctest.Test(t, func(t *testing.T) {
		from := &lists{}
		mapper, err := awaitListed(t.Context(), from, kindsOf([]*apiextensionsv1.CustomResourceDefinition{crd}, []runtime.Object{first}))
		if err != nil || from.asked != 3 {
			t.Fatalf("after %d questions: %v", from.asked, err)
		}
		m, err := mapper.RESTMapping(schema.GroupKind{Group: "g.example.com", Kind: "Second"}, "v1")
		if err != nil || m.Resource.Resource != "seconds" {
			t.Errorf("mapped to %v (%v)", m, err)
		}
		if _, err := awaitListed(t.Context(), &lists{}, []schema.GroupVersionKind{never}); err == nil || !strings.Contains(err.Error(), `"Third"`) {
			t.Errorf("a kind that never comes: %v", err)
		}
		if _, err := awaitListed(t.Context(), &lists{fails: refused}, []schema.GroupVersionKind{never}); !errors.Is(err, refused) {
			t.Errorf("a server that does not answer: %v", err)
		}
	})
}
