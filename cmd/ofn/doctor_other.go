//go:build !linux

package main

import "github.com/openfunction/ofn/internal/doctor"

// kernelFacts has nothing to ask: only Linux can run the platform.
func kernelFacts(f *doctor.Facts) { f.MaxUserNamespaces = -1 }
