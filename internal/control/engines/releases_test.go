package engines_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/control/engines"
)

func TestReleases(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range engines.Releases() {
		for _, need := range r.Needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which does not come before it", r.Name, need)
			}
		}
		if seen[r.Name] || r.Title == "" || r.Oldest == "" || !strings.Contains(r.Definition, ".") {
			t.Errorf("%s is twice there or incomplete: %+v", r.Name, r)
		}
		seen[r.Name] = true
		for _, m := range r.Manifests {
			if u, err := url.Parse(m); err != nil || u.Scheme != "https" || !strings.Contains(m, r.Version) {
				t.Errorf("%s: %s is not an address over HTTPS that names version %s", r.Name, m, r.Version)
			}
		}
		if got, ok := engines.ReleaseNamed(r.Name); !ok || got.Version != r.Version || r.Command() == "" || (len(r.Manifests) == 0) != (r.Chart != "") {
			t.Errorf("%s: found %v, command %q", r.Name, ok, r.Command())
		}
	}
	for _, e := range []engines.Engine{engines.Knative(), engines.Shipwright()} {
		if e.Install == "" {
			t.Errorf("%s has no command that installs it", e.Name)
		}
	}
}
