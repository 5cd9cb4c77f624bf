package ofncluster_test

import (
	"errors"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// children of a function that hands edit and delete, for each engine; the first field is one that ofn wrote.
var children = map[string][]struct {
	which string // kind and name
	patch string // a merge patch that spoils it
	field []string
	want  any
}{
	"pods": {
		{"services/hello", `{"spec":{"externalName":"elsewhere.example.com"}}`, []string{"spec", "externalName"}, "ofn-gateway.openfunction.svc.cluster.local"},
		{"podtemplates/hello-00001", `{"template":{"metadata":{"labels":{"openfunction.io/function":"other"}}}}`,
			[]string{"template", "metadata", "labels", "openfunction.io/function"}, "hello"},
		{"servings/hello-00001", "", nil, nil},
	},
	"knative": {
		{"services.serving.knative.dev/hello", `{"spec":{"traffic":[{"latestRevision":true,"percent":100,"tag":"mine"}]}}`, []string{"metadata", "name"}, "hello"},
		{"revisions.serving.knative.dev/hello-00001", "", nil, nil},
		{"servings/hello-00001", "", nil, nil},
	},
}

// TestRepair: what hands edited or deleted becomes as it was, and the function answers again.
func TestRepair(t *testing.T) {
	onEach(t, "repair", func(n *ofncluster.Namespace, engine string) {
		n.Apply(greeter(engine, "calm"))
		n.Ready("function/hello")
		says(n, "hello", "calm")
		for _, c := range children[engine] {
			if c.patch != "" {
				n.Kubectl("patch", c.which, "--type=merge", "-p", c.patch)
				n.Eventually(c.which+" is mended", func() error {
					o := n.Object(c.which)
					if o == nil {
						return errors.New("it is not there")
					}
					got, _, _ := unstructured.NestedFieldNoCopy(o.Object, c.field...)
					if got != c.want {
						return fmt.Errorf("%v is %v", c.field, got)
					}
					if tag := tagged(o); tag != "" {
						return fmt.Errorf("its traffic has the tag %q", tag)
					}
					return nil
				})
				says(n, "hello", "calm")
			}
			was := n.Object(c.which)
			if was == nil {
				n.T.Fatalf("there is no %s", c.which)
			}
			n.Kubectl("delete", c.which, "--wait=false")
			n.Eventually(c.which+" is made again", func() error {
				o := n.Object(c.which)
				if o == nil || o.GetUID() == was.GetUID() {
					return errors.New("it is not yet")
				}
				return nil
			})
			n.Ready("function/hello")
			says(n, "hello", "calm")
		}
	})
}

func tagged(o *unstructured.Unstructured) string {
	traffic, _, _ := unstructured.NestedSlice(o.Object, "spec", "traffic")
	for _, t := range traffic {
		if t, _ := t.(map[string]any); t["tag"] != nil {
			return fmt.Sprint(t["tag"])
		}
	}
	return ""
}
