package native

import (
	"path"
	"strings"
)

// checkBuilder refuses the builders whose work this one does not do. The images of OpenFunction are named after their language,
// which is seen in the source; what another image makes of a source only that image knows.
func checkBuilder(name string) error {
	base, _, _ := strings.Cut(name, "@")
	base, _, _ = strings.Cut(path.Base(base), ":")
	if name == "" || base == "native" || strings.HasPrefix(base, "builder-") {
		return nil
	}
	return failure("BuilderUnknown", "builder %q is not known here: leave the build to the native builder with openfunction/builder-go:latest or native, "+
		"or build the image elsewhere and leave build out", name)
}
