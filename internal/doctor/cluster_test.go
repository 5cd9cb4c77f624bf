package doctor

import (
	"errors"
	"strings"
	"testing"
)

// sound is a cluster where everything is in order.
func sound() ClusterFacts {
	return ClusterFacts{
		API: API{URL: "https://c:6443", Version: "v1.33.0"}, Program: "v2", WebhooksSet: true, Functions: 1,
		Definitions: []Definition{{Name: "functions.core.openfunction.io", There: true, Served: true, Version: "v2"}, {Name: "servings.core.openfunction.io", There: true, Served: true, Version: "v2"}},
		Operator:    Operator{There: true, Version: "v2", Image: "r/ofn:v2", Wanted: 2, Available: 2},
		Engines: []Engine{
			{Name: "knative", Title: "Knative Serving", There: true, Version: "1.23.0", Current: "1.23.0", Oldest: "1.21", NeededBy: []string{"default/hello"}, Install: "install knative"},
			{Name: "keda", Title: "KEDA", Current: "2.21.0", Oldest: "2.19", Install: "install keda"}},
		RuntimeClasses: []Need{{What: "gvisor", There: true, Functions: []string{"default/hello"}}},
	}
}

func TestExamineCluster(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*ClusterFacts)
		level  Level
		says   string
		do     string
	}{
		"in order":   {func(*ClusterFacts) {}, OK, "version 1.23.0; needed by default/hello", ""},
		"no cluster": {func(f *ClusterFacts) { f.API.Err = errors.New("refused") }, Fail, "https://c:6443 does not answer: refused", "kubeconfig"},
		"few rights": {func(f *ClusterFacts) { f.Denied = []string{"create deployments.apps"} }, Warn, "may not create deployments.apps", "account"},
		"nothing installed": {func(f *ClusterFacts) {
			f.Definitions = []Definition{{Name: "a"}}
			f.Operator = Operator{}
			f.WebhooksSet = false
		}, Fail, "does not have the kinds", "ofn install"},
		"a kind missing":        {func(f *ClusterFacts) { f.Definitions[1].There = false }, Fail, "missing: servings", "--upgrade"},
		"a kind not served":     {func(f *ClusterFacts) { f.Definitions[1].Served = false }, Fail, "not served: servings", "finalizers"},
		"older kinds":           {func(f *ClusterFacts) { f.Definitions[0].Version = "v1" }, Warn, "1 of 2 are not those of this program", "--upgrade"},
		"two operators":         {func(f *ClusterFacts) { f.FormerOperator = true }, Fail, "two operators", "--replicas=0"},
		"no operator":           {func(f *ClusterFacts) { f.Operator = Operator{} }, Fail, "there is none", "ofn install"},
		"operator not starting": {func(f *ClusterFacts) { f.Operator.Available = 0; f.Operator.Stuck = "; pod x: ErrImagePull" }, Fail, "none of its 2 copies is available; pod x: ErrImagePull", "describe pods"},
		"one copy":              {func(f *ClusterFacts) { f.Operator.Available = 1 }, Warn, "1 of its 2", "describe pods"},
		"older operator":        {func(f *ClusterFacts) { f.Operator.Version = "v1" }, Warn, `version "v1" runs`, "--upgrade"},
		"no webhooks":           {func(f *ClusterFacts) { f.WebhooksSet = false }, Warn, "neither defaulted nor checked", "--webhooks"},
		"silent webhooks":       {func(f *ClusterFacts) { f.Webhooks = errors.New("timeout") }, Fail, "cannot be changed: timeout", "ofn-webhook"},
		"functions unread":      {func(f *ClusterFacts) { f.Unread = errors.New("forbidden") }, Warn, "cannot be read", ""},
		"engine missing":        {func(f *ClusterFacts) { f.Engines[0].There = false }, Fail, "is not installed; needed by default/hello", "install knative"},
		"engine too old":        {func(f *ClusterFacts) { f.Engines[0].Version = "1.20.3" }, Fail, "older than 1.21", "--upgrade --engines knative"},
		"unused engine too old": {func(f *ClusterFacts) { f.Engines[0].Version = "1.20.3"; f.Engines[0].NeededBy = nil }, Warn, "older than 1.21", "--upgrade"},
		"engine not the newest": {func(f *ClusterFacts) { f.Engines[0].Version = "1.22.0" }, OK, "made for 1.23.0", ""},
		"engine of no version":  {func(f *ClusterFacts) { f.Engines[0].Version = "" }, OK, "does not tell", ""},
		"engine from source":    {func(f *ClusterFacts) { f.Engines[0].Version = "devel" }, OK, "version devel", ""},
		"runtime class":         {func(f *ClusterFacts) { f.RuntimeClasses[0].There = false }, Fail, "gvisor is not there", "RuntimeClass"},
		"feature": {func(f *ClusterFacts) {
			f.Features = []Need{{What: "kubernetes.podspec-affinity", Functions: []string{"a", "b", "c", "d"}}}
		}, Fail, "a, b, c and 1 more", `"kubernetes.podspec-affinity":"enabled"`},
		"secret": {func(f *ClusterFacts) { f.Secrets = []Need{{What: "default/push", Functions: []string{"a"}}} }, Fail, "default/push is not there", "docker-registry"},
	} {
		f := sound()
		test.change(&f)
		r := ExamineCluster(f)
		var b strings.Builder
		r.Print(&b)
		if r.Worst() != test.level || !strings.Contains(b.String(), test.says) || !strings.Contains(b.String(), test.do) {
			t.Errorf("%s: %s, want %s with %q and %q:\n%s", name, r.Worst(), test.level, test.says, test.do, b.String())
		}
	}
}
