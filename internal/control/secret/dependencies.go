package secret

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// annotationHost begins the annotations by which Tekton, and with it Shipwright, tells for which hosts a secret is meant:
// "tekton.dev/git-0: https://github.com". What comes after the dash only tells several of them apart.
const annotationHost = "tekton.dev/git-"

// Hosts are those that a secret is annotated for, without scheme and path, in the order of the annotations' names.
func Hosts(s *corev1.Secret) ([]string, error) {
	var hosts []string
	for _, k := range slices.Sorted(maps.Keys(s.Annotations)) {
		if !strings.HasPrefix(k, annotationHost) {
			continue
		}
		raw := strings.TrimSpace(s.Annotations[k])
		full := raw
		if !strings.Contains(full, "://") {
			full = "https://" + full
		}
		u, err := url.Parse(full)
		if err != nil || u.Hostname() == "" || u.User != nil {
			return nil, &Missing{fmt.Sprintf("secret %q: annotation %s is %q: it must be the address of a host such as https://github.com", s.Name, k, raw)}
		}
		if !slices.Contains(hosts, u.Host) {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts, nil
}
