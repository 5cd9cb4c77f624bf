package native

import (
	"path"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// checkBuilder refuses the builders whose work this one does not do. The images of OpenFunction are named after their language,
// which is seen in the source, or gcp-builder, which builds several; what another image makes of a source only that image knows.
func checkBuilder(name string) error {
	base := imageName(name)
	if name == "" || base == "native" || base == "gcp-builder" || strings.HasPrefix(base, "builder-") {
		return nil
	}
	return lang.Failure("BuilderUnknown", "builder %q is not known here: write native, which finds out the language of the source, "+
		"or build the image elsewhere and leave build out", name)
}

// builderRuntime is the language a builder image is named after: "go" of openfunction/builder-go:v2.4.0-1.17.
func builderRuntime(name string) string {
	r, _ := strings.CutPrefix(imageName(name), "builder-")
	return r
}

// imageName is the last element of an image's reference, without tag and digest.
func imageName(ref string) string {
	base, _, _ := strings.Cut(ref, "@")
	base, _, _ = strings.Cut(path.Base(base), ":")
	return base
}
