//go:build !linux

package unpack

import "errors"

// Only Linux mounts overlays; elsewhere images are flattened.

func setOpaque(int) error                { return errors.ErrUnsupported }
func makeWhiteout(int, string) error     { return errors.ErrUnsupported }
func makeFifo(int, string, uint32) error { return errors.ErrUnsupported }

// CanOverlay tells whether the kernel's form of whiteouts can be made under dir.
func CanOverlay(string) bool { return false }

// Sync makes everything on the file system of dir durable, where the system has a call for that.
func Sync(string) error { return nil }
