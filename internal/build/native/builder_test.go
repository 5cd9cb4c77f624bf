package native

import (
	"errors"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
)

func TestCheckBuilder(t *testing.T) {
	for name, known := range map[string]bool{
		"": true, "native": true, "openfunction/builder-go:latest": true, "openfunction/builder-go:v2.4.0-1.17": true,
		"localhost:5000/x/builder-go": true, "openfunction/builder-go@sha256:0123": true, "openfunction/gcp-builder:v1": true,
		"example.com/my-builder:v1": false, "gcr.io/buildpacks/builder:v1": false, "latest": false, "localhost:5000": false,
	} {
		err := checkBuilder(name)
		var bad *build.Failure
		switch {
		case known && err != nil:
			t.Errorf("%q: %v", name, err)
		case !known && (!errors.As(err, &bad) || bad.Reason != "BuilderUnknown" || !strings.Contains(bad.Message, name)):
			t.Errorf("%q: error is %v", name, err)
		}
	}
}
