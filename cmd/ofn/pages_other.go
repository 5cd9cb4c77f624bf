//go:build !linux

package main

// unmapProgram does nothing here.
func unmapProgram() error { return nil }

// resident is not known here.
func resident() int64 { return 0 }
