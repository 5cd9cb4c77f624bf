package main

import (
	"syscall"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/instance"
)

// exceeded is the limit that made a build command fail. One that went well has met none that mattered.
func exceeded(e instance.Exit) build.Resource {
	switch {
	case e.Code == 0:
		return ""
	case e.OutOfMemory:
		return build.Memory
	case e.Strain.ForksRefused > 0:
		return build.Processes
	case e.Signal == syscall.SIGXFSZ.String():
		return build.FileSize
	}
	return ""
}
