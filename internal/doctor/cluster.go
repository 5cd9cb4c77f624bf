package doctor

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// ClusterFacts are what is known about a cluster. What could not be found out is empty.
type ClusterFacts struct {
	API API
	// Program is the version of this ofn.
	Program string
	// Denied are rights that installing needs and these credentials lack: "create deployments.apps in namespace openfunction".
	Denied []string

	Definitions []Definition
	Operator    Operator
	// FormerOperator is OpenFunction's own, still at work.
	FormerOperator bool
	// Webhooks is why they did not answer; WebhooksSet whether the API server asks them at all.
	WebhooksSet bool
	Webhooks    error

	// Functions is how many there are; Unread is why the functions could not be read.
	Functions int
	Unread    error
	Engines   []Engine

	// RuntimeClasses, Features and Secrets are what functions name, and whether it is there.
	RuntimeClasses, Features, Secrets []Need
}

// Definition is a kind of OpenFunction.
type Definition struct {
	Name    string
	There   bool
	Served  bool
	Version string // of the ofn that installed it; empty when it was not ofn install
}

// Operator is the Deployment of ofn operator.
type Operator struct {
	There             bool
	Version, Image    string
	Wanted, Available int64
	Stuck             string // why its pods do not run
}

// Engine is one that functions may need.
type Engine struct {
	Name, Title string
	There       bool
	Version     string // that is there; empty: unknown
	// Current is the version that this ofn is made for, Oldest the first that works.
	Current, Oldest string
	NeededBy        []string
	Install         string
}

// Need is something that functions name.
type Need struct {
	What      string
	There     bool
	Functions []string
}

// ExamineCluster judges the facts about a cluster.
func ExamineCluster(f ClusterFacts) Report {
	if f.API.Err != nil {
		return one("cluster", Fail, "check that it runs, and that kubeconfig and context are the right ones", "%s does not answer: %v", f.API.URL, f.API.Err)
	}
	r := Report(one("cluster", OK, "", "Kubernetes %s at %s", f.API.Version, f.API.URL))
	for _, check := range []func(ClusterFacts) []Finding{rights, definitions, operator, webhooks, functionsRead, enginesThere, needs} {
		r = append(r, check(f)...)
	}
	return r
}

func rights(f ClusterFacts) []Finding {
	if len(f.Denied) == 0 {
		return one("rights", OK, "", "these credentials may install ofn")
	}
	return one("rights", Warn, "use an account that has them to install or upgrade", "these credentials may not %s", strings.Join(f.Denied, ", "))
}

func definitions(f ClusterFacts) []Finding {
	var missing, unserved, other []string
	for _, d := range f.Definitions {
		switch {
		case !d.There:
			missing = append(missing, d.Name)
		case !d.Served:
			unserved = append(unserved, d.Name)
		case d.Version != f.Program:
			other = append(other, d.Name)
		}
	}
	const name, do = "kinds", "ofn install --upgrade"
	switch {
	case len(missing) == len(f.Definitions):
		return one(name, Fail, "ofn install", "the cluster does not have the kinds of OpenFunction")
	case len(missing) > 0:
		return one(name, Fail, do, "missing: %s", strings.Join(missing, ", "))
	case len(unserved) > 0:
		return one(name, Fail, "kubectl describe crd; a definition that is being deleted waits for the finalizers of its objects", "not served: %s", strings.Join(unserved, ", "))
	case len(other) > 0:
		return one(name, Warn, do, "%d of %d are not those of this program, %s", len(other), len(f.Definitions), f.Program)
	}
	return one(name, OK, "", "all %d, of version %s", len(f.Definitions), f.Program)
}

func operator(f ClusterFacts) []Finding {
	const name = "operator"
	var out []Finding
	if f.FormerOperator {
		out = one("OpenFunction's operator", Fail, "kubectl -n openfunction scale deployment openfunction-controller-manager --replicas=0; see docs/migration.md", "it works on this cluster, too: two operators undo each other's work")
	}
	o := f.Operator
	switch {
	case !o.There:
		return append(out, one(name, Fail, "ofn install", "there is none: functions stay as they are")...)
	case o.Available == 0:
		return append(out, one(name, Fail, "kubectl -n openfunction describe pods -l app.kubernetes.io/name=ofn-operator", "none of its %d copies is available%s", o.Wanted, o.Stuck)...)
	case o.Available < o.Wanted:
		return append(out, one(name, Warn, "kubectl -n openfunction describe pods -l app.kubernetes.io/name=ofn-operator", "%d of its %d copies are available%s", o.Available, o.Wanted, o.Stuck)...)
	case o.Version != f.Program:
		return append(out, one(name, Warn, "ofn install --upgrade, or the ofn of that version", "version %q runs (%s), this program is %s", o.Version, o.Image, f.Program)...)
	}
	return append(out, one(name, OK, "", "version %s, %d copies, %s", o.Version, o.Available, o.Image)...)
}

func webhooks(f ClusterFacts) []Finding {
	const name = "webhooks"
	switch {
	case !f.Operator.There && !f.WebhooksSet:
		return nil
	case !f.WebhooksSet:
		return one(name, Warn, "ofn operator makes them when it runs with --webhooks", "there are none: objects are neither defaulted nor checked")
	case f.Webhooks != nil:
		return one(name, Fail, "is the operator available, and may the API server reach the Service ofn-webhook?", "they do not answer, so that functions cannot be changed: %v", f.Webhooks)
	}
	return one(name, OK, "", "they answer")
}

func functionsRead(f ClusterFacts) []Finding {
	if f.Unread != nil {
		return one("functions", Warn, "", "they cannot be read, so that what they need is not known: %v", f.Unread)
	}
	return one("functions", OK, "", "%d", f.Functions)
}

func enginesThere(f ClusterFacts) []Finding {
	var out []Finding
	for _, e := range f.Engines {
		out = append(out, e.finding())
	}
	return out
}

func (e Engine) finding() Finding {
	f := Finding{Check: e.Title, Level: OK}
	users := ""
	if len(e.NeededBy) > 0 {
		users = "; needed by " + some(e.NeededBy)
	}
	switch {
	case !e.There && users == "":
		f.Says = "is not installed; no function needs it"
	case !e.There:
		f.Level, f.Says, f.Do = Fail, "is not installed"+users, e.Install
	case older(e.Version, e.Oldest):
		f.Level, f.Says, f.Do = Warn, fmt.Sprintf("version %s is older than %s, the first that works%s", e.Version, e.Oldest, users), "ofn install --upgrade --engines "+e.Name
		if users != "" {
			f.Level = Fail
		}
	case older(e.Version, e.Current):
		f.Says = fmt.Sprintf("version %s; this ofn is made for %s%s", e.Version, e.Current, users)
	case e.Version == "":
		f.Says = "is installed, in a version that it does not tell" + users
	default:
		f.Says = "version " + e.Version + users
	}
	return f
}

// older compares versions; one that cannot be read is not older.
func older(a, b string) bool {
	x, err := semver.NewVersion(a)
	if err != nil {
		return false
	}
	y, err := semver.NewVersion(b)
	return err == nil && x.LessThan(y)
}

func needs(f ClusterFacts) []Finding {
	var out []Finding
	for _, n := range f.RuntimeClasses {
		out = append(out, n.finding("runtime class", "install the runtime on the nodes and make the RuntimeClass, or change template.runtimeClassName"))
	}
	for _, n := range f.Features {
		out = append(out, n.finding("Knative's feature", "kubectl -n knative-serving patch configmap config-features --type merge -p '{\"data\":{\""+n.What+"\":\"enabled\"}}'"))
	}
	for _, n := range f.Secrets {
		out = append(out, n.finding("secret", "make it in that namespace, e.g. with kubectl create secret docker-registry"))
	}
	return out
}

func (n Need) finding(what, do string) Finding {
	if n.There {
		return Finding{Check: what, Level: OK, Says: n.What + " is there; named by " + some(n.Functions)}
	}
	return Finding{Check: what, Level: Fail, Says: n.What + " is not there, or not enabled; named by " + some(n.Functions), Do: do}
}

// some are names for people: not more than three.
func some(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}
