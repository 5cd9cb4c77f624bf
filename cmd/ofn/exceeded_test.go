package main

import (
	"context"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
)

// ended is a sandbox in which every command ends in one way.
type ended struct {
	instance.Exit
	command *sandbox.Command
}

func (e ended) Run(_ context.Context, c sandbox.Command) (instance.Exit, error) {
	*e.command = c
	return e.Exit, nil
}

func TestExceeded(t *testing.T) {
	for name, c := range map[string]struct {
		exit instance.Exit
		want build.Resource
	}{
		"nothing":                       {instance.Exit{Code: 1}, ""},
		"memory":                        {instance.Exit{Code: 1, OutOfMemory: true, Strain: instance.Strain{MemoryKills: 1}}, build.Memory},
		"processes":                     {instance.Exit{Code: 2, Strain: instance.Strain{ForksRefused: 3}}, build.Processes},
		"a file":                        {instance.Exit{Code: -1, Signal: "file size limit exceeded"}, build.FileSize},
		"met limits, and succeeded":     {instance.Exit{Strain: instance.Strain{MemoryKills: 1, ForksRefused: 3}}, ""},
		"killed by someone for nothing": {instance.Exit{Code: -1, Signal: "killed"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got sandbox.Command
			r := sandboxed{ended{c.exit, &got}}
			exit, err := r.Run(t.Context(), build.Command{Args: []string{"/x"}, Limits: build.RunLimits{PIDs: 7, MemoryBytes: 9}})
			if err != nil || exit != (build.Exit{Code: c.exit.Code, Exceeded: c.want}) {
				t.Errorf("Run = %+v, %v, want %q", exit, err, c.want)
			}
			if got.Limits != (instance.Limits{PIDs: 7, MemoryBytes: 9}) {
				t.Errorf("the sandbox was given limits %+v", got.Limits)
			}
		})
	}
}
