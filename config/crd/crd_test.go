package crd_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"

	"github.com/openfunction/ofn/config/crd"
)

const limit = 100_000

func TestDefinitionsAreCurrent(t *testing.T) {
	if out, err := exec.Command("go", "tool", "-C", "../..", "-modfile=go.tools.mod", "-n", "controller-gen").CombinedOutput(); err != nil {
		t.Skipf("controller-gen cannot run here: %v\n%s", err, out)
	}
	if out, err := exec.Command("go", "-C", "../..", "run", "./config/crd/generate", "-check").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestDefinitionsAreSmall(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() >= limit {
			t.Errorf("%s has %d bytes, the limit is %d", e.Name(), info.Size(), limit)
		}
	}
}

func TestDefinitionsAreValid(t *testing.T) {
	crds := objects(t)
	for _, c := range crds {
		apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(c)
		c.Status.StoredVersions = []string{stored(c)}
		var internal apiextensions.CustomResourceDefinition
		if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(c, &internal, nil); err != nil {
			t.Fatal(err)
		}
		for _, err := range validation.ValidateCustomResourceDefinition(context.Background(), &internal) {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

func TestVersionsAndColumns(t *testing.T) {
	want := map[string]struct {
		storage string
		served  []string
		short   []string
		columns []string
	}{
		"functions.core.openfunction.io": {"v1beta2", []string{"v1beta1", "v1beta2"}, []string{"fn"},
			[]string{"BuildState", "ServingState", "Builder", "Serving", "Address", "Events", "DeadLetters", "Age"}},
		"builders.core.openfunction.io": {"v1beta2", []string{"v1beta1", "v1beta2"}, []string{"fb"},
			[]string{"Phase", "State", "Reason", "BuildDuration", "Age"}},
		"servings.core.openfunction.io": {"v1beta2", []string{"v1beta1", "v1beta2"}, nil, []string{"Phase", "State", "Age"}},
		"gateways.networking.openfunction.io": {"v1alpha1", []string{"v1alpha1"}, nil,
			[]string{"Address", "Ready", "Age"}},
		"eventsources.events.openfunction.io": {"v1alpha1", []string{"v1alpha1"}, []string{"es"},
			[]string{"EventBus", "Sink", "Status", "PerMinute", "Age"}},
		"eventbuses.events.openfunction.io":        {"v1alpha1", []string{"v1alpha1"}, []string{"eb"}, []string{"Kind", "Ready", "Age"}},
		"clustereventbuses.events.openfunction.io": {"v1alpha1", []string{"v1alpha1"}, []string{"ceb"}, []string{"Kind", "Ready", "Age"}},
		"triggers.events.openfunction.io": {"v1alpha1", []string{"v1alpha1"}, nil,
			[]string{"EventBus", "Status", "Lag", "DeadLetters", "Age"}},
		"components.dapr.io": {"v1alpha1", []string{"v1alpha1"}, nil, []string{"Type", "Ready", "Age"}},
	}
	crds := objects(t)
	if len(crds) < len(want) {
		t.Fatalf("%d definitions, want at least %d", len(crds), len(want))
	}
	for _, c := range crds {
		w, ok := want[c.Name]
		if !ok {
			continue
		}
		var served []string
		for _, v := range c.Spec.Versions {
			if v.Served {
				served = append(served, v.Name)
			}
			if v.Subresources == nil || v.Subresources.Status == nil {
				t.Errorf("%s %s has no status subresource", c.Name, v.Name)
			}
			var columns []string
			for _, column := range v.AdditionalPrinterColumns {
				columns = append(columns, column.Name)
			}
			shown := w.columns
			if v.Name == "v1beta1" { // which has no figures of events
				shown = slices.DeleteFunc(slices.Clone(shown), func(name string) bool { return name == "Events" || name == "DeadLetters" })
			}
			equal(t, c.Name+" columns of "+v.Name, columns, shown)
		}
		equal(t, c.Name+" served", served, w.served)
		equal(t, c.Name+" short names", c.Spec.Names.ShortNames, w.short)
		if got := stored(c); got != w.storage {
			t.Errorf("%s stores %s, want %s", c.Name, got, w.storage)
		}
	}
}

func objects(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	crds, err := crd.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return crds
}

func stored(c *apiextensionsv1.CustomResourceDefinition) string {
	for _, v := range c.Spec.Versions {
		if v.Storage {
			return v.Name
		}
	}
	return ""
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}
