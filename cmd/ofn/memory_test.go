package main

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/openfunction/ofn/config"
	"github.com/openfunction/ofn/internal/event/cluster"
)

func TestMemoryLimitOfAContainer(t *testing.T) {
	for _, test := range []struct {
		container, own string
		want           int64
	}{
		{"", "", 0},
		{"536870912", "", 483183819},
		{"536870912", "1GiB", 0}, // which the runtime has read
		{"512Mi", "", 0},
		{"-1", "", 0},
	} {
		env := map[string]string{cluster.EnvMemoryLimit: test.container, "GOMEMLIMIT": test.own}
		if got := memoryLimitOf(func(name string) string { return env[name] }); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
	for _, name := range []string{"manager/deployment.yaml", "gateway/deployment.yaml"} {
		text, err := fs.ReadFile(config.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		if want := "{name: " + cluster.EnvMemoryLimit + ", valueFrom: {resourceFieldRef: {resource: limits.memory}}}"; !strings.Contains(string(text), want) {
			t.Errorf("%s does not tell ofn of its limit: %s", name, want)
		}
	}
}
