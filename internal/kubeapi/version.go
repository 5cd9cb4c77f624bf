package kubeapi

import (
	"runtime"
	"runtime/debug"
	"strconv"

	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
	basecompatibility "k8s.io/component-base/compatibility"
)

// effectiveVersion answers at /version with the release of Kubernetes that is compiled in. Kubernetes sets it with linker flags of
// its own build, so that without this clients would read a placeholder that they cannot parse.
type effectiveVersion struct {
	basecompatibility.MutableEffectiveVersion
	info apiversion.Info
}

// Info implements compatibility.EffectiveVersion.
func (v effectiveVersion) Info() *apiversion.Info { return &v.info }

func newEffectiveVersion() effectiveVersion {
	v := effectiveVersion{MutableEffectiveVersion: compatibility.DefaultBuildEffectiveVersion()}
	release := "v" + v.BinaryVersion().String() + ".0"
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == "k8s.io/kubernetes" {
				release = module.Version
			}
		}
	}
	v.info = *v.MutableEffectiveVersion.Info()
	v.info.Major, v.info.Minor = strconv.Itoa(int(v.BinaryVersion().Major())), strconv.Itoa(int(v.BinaryVersion().Minor()))
	v.info.GitVersion = release + "+ofn"
	v.info.GoVersion, v.info.Compiler = runtime.Version(), runtime.Compiler
	v.info.Platform = runtime.GOOS + "/" + runtime.GOARCH
	return v
}
