package main

import (
	"fmt"
	"slices"
)

// checkSystem refuses systems on which the platform cannot run, before anything is made there.
func checkSystem(goos, goarch string) error {
	if goos == "linux" && slices.Contains([]string{"amd64", "arm64"}, goarch) {
		return nil
	}
	return fmt.Errorf("the platform runs on Linux for amd64 and arm64, and this is %s/%s. Here `ofn dev DIR` serves a function while you write it, "+
		"and the commands that talk to a control plane work with one elsewhere (--kubeconfig, or --server and --token); "+
		"for the platform itself use a Linux machine, a virtual one for example", goos, goarch)
}
