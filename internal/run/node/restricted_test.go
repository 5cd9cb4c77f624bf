package node_test

import (
	"context"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
)

// narrow is a driver whose copies can be asked at their port only.
type narrow struct{ instance.Driver }

func (narrow) Restrictions() instance.Restrictions {
	return instance.Restrictions{NoExec: true, OnePort: true}
}

// TestRestricted: a probe that can never be answered is refused, and not taken and then ignored.
func TestRestricted(t *testing.T) {
	d := &fakeDriver{}
	n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": d, "wasm": narrow{d}}, Images: &fakeImages{}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	for name, c := range map[string]struct {
		class     string
		container run.Container
		says      string
	}{
		"command":               {"wasm", run.Container{Liveness: &run.Probe{Exec: []string{"true"}}}, `livenessProbe.exec: no command can be run in a copy of runtime class "wasm"`},
		"other port":            {"wasm", run.Container{Startup: &run.Probe{HTTPPath: "/", Port: 9}}, "startupProbe asks at port 9"},
		"its port":              {"wasm", run.Container{Probe: &run.Probe{HTTPPath: "/", Port: 8080}}, ""},
		"some port":             {"wasm", run.Container{Probe: &run.Probe{HTTPPath: "/"}}, ""},
		"command, elsewhere":    {"", run.Container{Liveness: &run.Probe{Exec: []string{"true"}}}, ""},
		"other port, elsewhere": {"", run.Container{Startup: &run.Probe{Port: 9}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := n.Apply(t.Context(), run.Revision{Key: run.Key{Namespace: "n", Name: "r"}, Image: "i", RuntimeClass: c.class, Port: 8080, Container: c.container})
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
			_ = n.Delete(t.Context(), run.Key{Namespace: "n", Name: "r"})
		})
	}
}
