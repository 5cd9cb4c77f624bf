package cli

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	eventsv1 "github.com/openfunction/ofn/api/events/v1alpha1"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/cli/fields"
)

// resource is a kind that get and delete know by name.
type resource struct {
	group, version, plural, kind string
	aliases                      []string
	older                        []string // versions that are served too
	cluster                      bool     // belongs to no namespace
}

func resources() []resource {
	core, version, older := v1beta2.Group, v1beta2.Version, []string{v1beta1.GroupVersion.Version}
	group, alpha := eventsv1.GroupVersion.Group, eventsv1.GroupVersion.Version
	return []resource{
		{core, version, "functions", "Function", []string{"function", "fn"}, older, false},
		{core, version, "builders", "Builder", []string{"builder"}, older, false},
		{core, version, "servings", "Serving", []string{"serving", "revisions", "revision"}, older, false},
		{networking.GroupVersion.Group, networking.GroupVersion.Version, "gateways", "Gateway", []string{"gateway", "gw"}, nil, false},
		{group, alpha, "eventsources", "EventSource", []string{"eventsource", "es"}, nil, false},
		{group, alpha, "eventbuses", "EventBus", []string{"eventbus", "eb"}, nil, false},
		{group, alpha, "clustereventbuses", "ClusterEventBus", []string{"clustereventbus", "ceb"}, nil, true},
		{group, alpha, "triggers", "Trigger", []string{"trigger"}, nil, false},
		{daprv1.GroupVersion.Group, daprv1.GroupVersion.Version, "components", "Component", []string{"component"}, nil, false},
	}
}

// kindsInWords are the plurals of the kinds that are known.
func kindsInWords() string {
	var names []string
	for _, r := range resources() {
		names = append(names, r.plural)
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// resourceNamed finds "functions", "functions.core.openfunction.io" and "functions.v1beta1.core.openfunction.io". Others
// are not found; a version or group that a known kind does not have is an error.
func resourceNamed(written string) (r resource, found bool, err error) {
	name, rest, qualified := strings.Cut(strings.ToLower(written), ".")
	at := slices.IndexFunc(resources(), func(r resource) bool { return r.plural == name || slices.Contains(r.aliases, name) })
	if at < 0 {
		return resource{}, false, nil
	}
	r = resources()[at]
	version, group, _ := strings.Cut(rest, ".")
	switch {
	case !qualified || rest == r.group:
		return r, true, nil
	case group == r.group && (version == r.version || slices.Contains(r.older, version)):
		r.version = version
		return r, true, nil
	default:
		served := append([]string{r.version}, r.older...)
		return r, false, fmt.Errorf("there is no %s: %s are of %s, in %s", written, r.plural, r.group, strings.Join(served, " and "))
	}
}

// resourceAndNames reads "functions a b", "builder/a" and "a", which names a function.
func resourceAndNames(args []string) (resource, []string, error) {
	if len(args) == 0 {
		return resources()[0], nil, nil
	}
	if r, ok, err := resourceNamed(args[0]); ok || err != nil {
		return r, args[1:], err
	}
	if first, _, several := strings.Cut(args[0], ","); several {
		return resource{}, nil, fmt.Errorf("%q: one kind at a time, please: begin with %s; several at once are kubectl's", args[0], first)
	}
	kind, name, slash := strings.Cut(args[0], "/")
	if !slash {
		return resources()[0], args, nil
	}
	r, ok, err := resourceNamed(kind)
	if err != nil {
		return r, nil, err
	}
	if !ok {
		return r, nil, fmt.Errorf("%q is not known here: there are %s; for other kinds use kubectl", kind, kindsInWords())
	}
	return r, append([]string{name}, args[1:]...), nil
}

// meantKind guesses which kind or version a manifest means that has another; it is a clause, or empty.
func meantKind(missing *meta.NoKindMatchError) string {
	var kinds []string
	for _, r := range resources() {
		if r.group == missing.GroupKind.Group && r.kind == missing.GroupKind.Kind {
			return fmt.Sprintf("; %s is of %s/%s", r.kind, r.group, strings.Join(append([]string{r.version}, r.older...), " and "))
		}
		kinds = append(kinds, r.kind)
	}
	if near := fields.Nearest(missing.GroupKind.Kind, kinds); near != "" {
		r := resources()[slices.Index(kinds, near)]
		return fmt.Sprintf("; did you mean %s of %s/%s?", near, r.group, r.version)
	}
	return ""
}

// noSuchKind explains a first name that was not found and may have been meant as a kind: "functoins", "pods".
func noSuchKind(args []string, err error) error {
	if len(args) == 0 || !apierrors.IsNotFound(err) || strings.Contains(args[0], "/") {
		return err
	}
	if _, known, _ := resourceNamed(args[0]); known {
		return err
	}
	var kinds []string
	for _, r := range resources() {
		kinds = append(append(kinds, r.plural), r.aliases...)
	}
	if near := fields.Nearest(args[0], kinds); near != "" {
		return fmt.Errorf("%w; did you mean the kind %s?", err, near)
	}
	if len(args) > 1 {
		return fmt.Errorf("%w; the kinds known here are %s", err, kindsInWords())
	}
	return err
}

func (r resource) path(namespace, name string) string {
	path := "/apis/" + r.group + "/" + r.version
	if namespace != "" && !r.cluster {
		path += "/namespaces/" + namespace
	}
	path += "/" + r.plural
	if name != "" {
		path += "/" + name
	}
	return path
}
