package main

import (
	"strings"
	"testing"
)

func TestCheckSystem(t *testing.T) {
	for system, ok := range map[string]bool{"linux/amd64": true, "linux/arm64": true, "linux/riscv64": false, "darwin/arm64": false} {
		goos, goarch, _ := strings.Cut(system, "/")
		err := checkSystem(goos, goarch)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), system) {
			t.Errorf("%s: %v", system, err)
		}
	}
}
