package build_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// The strategies of config/shipwright need images that no test cluster has. What is tried of them is all that comes before: Shipwright
// takes them, accepts a build with their parameters, an environment and a timeout, and makes a pod that waits for the image of its step.
func TestStrategies(t *testing.T) {
	n := start(t, "strategies", "buildruns.shipwright.io")
	folder := "../../../config/shipwright"
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	n.Kubectl("apply", "-k", folder)
	for name, s := range map[string]struct{ build, pulls string }{
		"openfunction": {"    builder: registry.test/builder:1\n", "registry.test/builder:1"},
		"buildah":      {"    dockerfile: Containerfile\n", "quay.io/containers/buildah"},
		"buildkit":     {"    dockerfile: Containerfile\n", "moby/buildkit"},
		"kaniko":       {"    dockerfile: Containerfile\n", "kaniko-project/executor"},
		"ko":           {"", "library/golang:1.26"},
		"wasmedge":     {"    dockerfile: Containerfile\n", "quay.io/containers/buildah"},
	} {
		t.Run(name, func(t *testing.T) {
			n := *n
			n.T = t
			params := ""
			if name == "ko" {
				params = ", params: [{name: go-flags, value: -v}]"
			}
			f := fn{name: name, url: world.sources.url, path: "hello", image: imageOf(&n, name),
				build: s.build + "    timeout: 20m\n    env: {A: \"1 $(x) #\", B: two}\n    shipwright: {strategy: {name: " + name + "}" + params + "}\n"}
			n.Apply(f.manifest())
			n.Eventually("the pod waits for the image of its step", func() error {
				pods := n.Objects("pods", "buildrun.shipwright.io/name="+name+"-build-00001")
				if len(pods) == 0 {
					b := builders(&n, name)
					if len(b) == 0 {
						return fmt.Errorf("there is no builder")
					}
					return fmt.Errorf("the build is %s, %s: %s", text(b[0], "status", "state"), text(b[0], "status", "reason"), text(b[0], "status", "message"))
				}
				images := stepImages(pods[0])
				if !slices.ContainsFunc(images, func(image string) bool { return strings.Contains(image, s.pulls) }) {
					return fmt.Errorf("its images are %v", images)
				}
				return nil
			})
			n.Kubectl("patch", "builder", name+"-build-00001", "--type=merge", "-p", `{"spec":{"state":"Cancelled"}}`)
			if b := ended(&n, name); !slices.Contains([]string{"Canceled", "Failed"}, text(b, "status", "state")) {
				t.Errorf("the build is %s, %s: %s", text(b, "status", "state"), text(b, "status", "reason"), text(b, "status", "message"))
			}
		})
	}
}

func stepImages(pod unstructured.Unstructured) []string {
	var images []string
	all, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
	for _, c := range all {
		c, _ := c.(map[string]any)
		images = append(images, fmt.Sprint(c["image"]))
	}
	return images
}

func TestStrategyThatDoesNotExist(t *testing.T) {
	n := start(t, "nostrategy", "buildruns.shipwright.io")
	f := fn{name: "hello", url: world.sources.url, path: "hello", image: imageOf(n, "hello"),
		build: "    builder: " + ofncluster.BuilderImage + "\n    shipwright: {strategy: {name: no-such}}\n"}
	n.Apply(f.manifest())
	when(n, "hello", func(b unstructured.Unstructured) bool {
		return text(b, "status", "reason") == "ClusterBuildStrategyNotFound" && text(b, "status", "state") == "Created"
	})
	if b := ended(n, "hello"); text(b, "status", "state") != "Failed" || text(b, "status", "reason") != "ClusterBuildStrategyNotFound" {
		t.Errorf("the build is %s, %s: %s", text(b, "status", "state"), text(b, "status", "reason"), text(b, "status", "message"))
	}
	if made := n.Objects("builds.shipwright.io", ""); len(made) > 0 {
		t.Errorf("a Build was made all the same: %s", made[0].GetName())
	}
}
