// Package engines knows which of the engines that functions may need are installed on a cluster, and in which versions. It
// watches CustomResourceDefinitions: what needs an engine is looked at again when the engine comes, goes or is upgraded, and the
// engine's objects are watched only while there is such a kind.
package engines

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Engine is something that must be on a cluster for functions of a certain kind.
type Engine struct {
	// Name is what people call it.
	Name string
	// Kinds are those that ofn makes or reads. All of them must be served in the version given.
	Kinds []Kind
	// Install is a command that installs it: that of its Release.
	Install string
}

// Kind is one kind of an engine.
type Kind struct {
	schema.GroupVersionKind
	Plural string
}

// definition is the name of the kind's CustomResourceDefinition.
func (k Kind) definition() string { return k.Plural + "." + k.Group }

// object is an empty one, by which its informer is found.
func (k Kind) object() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(k.GroupVersionKind)
	return u
}

func kind(group, version, name, plural string) Kind {
	return Kind{schema.GroupVersionKind{Group: group, Version: version, Kind: name}, plural}
}

// Knative is Knative Serving.
func Knative() Engine {
	return Engine{Name: "Knative Serving", Kinds: []Kind{
		kind("serving.knative.dev", "v1", "Service", "services"),
		kind("serving.knative.dev", "v1", "Revision", "revisions"),
	}, Install: command("knative")}
}

// Shipwright is Shipwright Build.
func Shipwright() Engine {
	const group, version = "shipwright.io", "v1beta1"
	return Engine{Name: "Shipwright Build", Kinds: []Kind{
		kind(group, version, "Build", "builds"),
		kind(group, version, "BuildRun", "buildruns"),
		kind(group, version, "BuildStrategy", "buildstrategies"),
		kind(group, version, "ClusterBuildStrategy", "clusterbuildstrategies"),
	}, Install: command("shipwright")}
}

// Missing says what of an engine is not there, and how to get it.
type Missing struct {
	Engine string
	// What is missing, for people.
	What    string
	Install string
	// Outdated is whether the engine is there, in other versions.
	Outdated bool
}

// Error is for people.
func (m *Missing) Error() string {
	do := "install it with: "
	if m.Outdated {
		do = "upgrade it with: "
	}
	return fmt.Sprintf("%s is needed: %s; %s%s", m.Engine, m.What, do, m.Install)
}

// Reason is the CamelCase word of a condition.
func (m *Missing) Reason() string {
	if m.Outdated {
		return "EngineOutdated"
	}
	return "EngineMissing"
}

// Check says whether the cluster has the engine: nil, a *Missing, or an error of reading.
func Check(ctx context.Context, c client.Reader, e Engine) error {
	for _, k := range e.Kinds {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := c.Get(ctx, types.NamespacedName{Name: k.definition()}, crd); err != nil {
			if apierrors.IsNotFound(err) {
				return &Missing{Engine: e.Name, What: "this cluster has no " + k.definition(), Install: e.Install}
			}
			return fmt.Errorf("looking for %s: %w", e.Name, err)
		}
		if !crd.DeletionTimestamp.IsZero() {
			return &Missing{Engine: e.Name, What: k.definition() + " is being deleted, which waits until its objects are gone", Install: e.Install}
		}
		if !established(crd) {
			return &Missing{Engine: e.Name, What: k.definition() + " is not served yet", Install: e.Install}
		}
		if versions := served(crd); !slices.Contains(versions, k.Version) {
			return &Missing{Engine: e.Name, Install: e.Install, Outdated: true,
				What: fmt.Sprintf("%s is served here in version %s, not in %s", k.definition(), strings.Join(versions, ", "), k.Version)}
		}
	}
	return nil
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established {
			return c.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}

func served(crd *apiextensionsv1.CustomResourceDefinition) []string {
	var out []string
	for _, v := range crd.Spec.Versions {
		if v.Served {
			out = append(out, v.Name)
		}
	}
	return out
}

// Strip leaves of a CustomResourceDefinition what this package reads, and how versions are converted. As the transformation of a cache it keeps the schemas of a
// large cluster, tens of megabytes, out of memory.
func Strip(o any) (any, error) {
	crd, ok := o.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return o, nil
	}
	out := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: crd.Name, UID: crd.UID, ResourceVersion: crd.ResourceVersion, DeletionTimestamp: crd.DeletionTimestamp},
		Status:     apiextensionsv1.CustomResourceDefinitionStatus{Conditions: crd.Status.Conditions},
	}
	for name, value := range crd.Annotations {
		if strings.HasPrefix(name, "cert-manager.io/") {
			metav1.SetMetaDataAnnotation(&out.ObjectMeta, name, value)
		}
	}
	out.Spec.Group, out.Spec.Conversion = crd.Spec.Group, crd.Spec.Conversion
	for _, v := range crd.Spec.Versions {
		out.Spec.Versions = append(out.Spec.Versions, apiextensionsv1.CustomResourceDefinitionVersion{Name: v.Name, Served: v.Served})
	}
	return out, nil
}
