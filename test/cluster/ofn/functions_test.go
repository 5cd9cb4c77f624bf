package ofncluster_test

import (
	"os"
	"strings"
	"testing"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

func TestMain(m *testing.M) { os.Exit(ofncluster.Main(m, ofncluster.Setup{})) }

// greeter is a function that needs no build.
const greeter = `
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: hello}
spec:
  image: dev.local/greeter:1
  serving:
    triggers: {http: {engine: ENGINE, port: 8080}}
    scaleOptions: {minReplicas: 0, maxReplicas: 3}
    template: {containers: [{name: function, imagePullPolicy: IfNotPresent}]}
`

func TestKubernetesAlone(t *testing.T) {
	n := ofncluster.New(t, "alone")
	t.Logf("ofn install took %s", ofncluster.Installed())
	ofncluster.Load(t, "./testdata/greeter", "dev.local/greeter:1")
	n.Apply(strings.ReplaceAll(greeter, "ENGINE", "pods"))
	n.Ready("function/hello")
	if got := n.Get("hello", "/World"); got != "Hello, World! \n" {
		t.Errorf("it answered %q", got)
	}
}
