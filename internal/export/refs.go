package export

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// named is an object that a manifest names.
type named struct{ kind, namespace, name string }

// Fields by which manifests name Secrets, ConfigMaps and TriggerAuthentications, wherever they stand: in a pod template, a component,
// an event, a build. The value is an object with a name.
var nameFields = map[string]string{
	"secretKeyRef": "Secret", "secretRef": "Secret", "secretValue": "Secret", "imageCredentials": "Secret", "builderCredentials": "Secret", "credentials": "Secret",
	"configMapKeyRef": "ConfigMap", "configMapRef": "ConfigMap", "configMapValue": "ConfigMap", "configMap": "ConfigMap", "secret": "Secret",
	"authenticationRef": "TriggerAuthentication", "authRef": "TriggerAuthentication",
}

// Fields that are lists of such objects, or maps of them.
var listFields = map[string]string{"imagePullSecrets": "Secret", "secretTargetRef": "Secret", "certificateRefs": "Secret", "secretRefs": "Secret"}

// references are what an object names, without repetitions.
func references(o *unstructured.Unstructured) []named {
	found := map[named]bool{}
	for k, v := range o.Object {
		if k != "metadata" && k != "status" && k != "data" && k != "stringData" {
			search(k, v, o.GetNamespace(), found)
		}
	}
	out := slices.Collect(maps.Keys(found))
	slices.SortFunc(out, func(a, b named) int {
		return compare(a.kind+"/"+a.namespace+"/"+a.name, b.kind+"/"+b.namespace+"/"+b.name)
	})
	return out
}

func search(field string, v any, namespace string, found map[named]bool) {
	switch v := v.(type) {
	case map[string]any:
		if kind := nameFields[field]; kind != "" {
			note(kind, v, namespace, found)
		}
		if kind := listFields[field]; kind != "" { // secretRefs is a map of fields to keys of secrets
			for _, each := range v {
				note(kind, each, namespace, found)
			}
		}
		for k, each := range v {
			search(k, each, namespace, found)
		}
	case []any:
		for _, each := range v {
			if kind := listFields[field]; kind != "" {
				note(kind, each, namespace, found)
			}
			search("", each, namespace, found)
		}
	}
}

// note takes {name, namespace, kind}; volumes have secretName, and what is for the whole cluster is another kind.
func note(kind string, v any, namespace string, found map[named]bool) {
	o, _ := v.(map[string]any)
	name, _ := o["name"].(string)
	if name == "" {
		name, _ = o["secretName"].(string)
	}
	if given, _ := o["kind"].(string); given != "" {
		kind = given
	}
	if given, _ := o["namespace"].(string); given != "" {
		namespace = given
	}
	if strings.HasPrefix(kind, "Cluster") {
		namespace = ""
	}
	if name != "" {
		found[named{kind, namespace, name}] = true
	}
}
