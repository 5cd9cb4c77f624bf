package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/doctor"
)

// Survey asks a cluster for everything that the doctor judges. Only what makes all the rest meaningless is an error.
func (i *Installer) Survey(ctx context.Context, m Manifests) (doctor.ClusterFacts, error) {
	f := doctor.ClusterFacts{Program: labelValue(m.Version)}
	if m.Image == "" {
		m.Image = Operator // it is not asked for
	}
	objects, err := m.Objects()
	if err != nil {
		return f, err
	}
	if f.Denied, err = i.denied(ctx, objects); err != nil {
		return f, err
	}
	for _, o := range objects {
		if o.GetKind() != definitions.Kind {
			continue
		}
		d, err := i.get(ctx, definitions, "", o.GetName())
		if err != nil {
			return f, err
		}
		found := doctor.Definition{Name: o.GetName(), There: d != nil}
		if d != nil {
			found.Served, found.Version = conditionTrue(d, "Established") && d.GetDeletionTimestamp() == nil, d.GetLabels()[versionLabel]
		}
		f.Definitions = append(f.Definitions, found)
	}
	if err := i.surveyOperator(ctx, &f); err != nil {
		return f, err
	}
	var all []unstructured.Unstructured
	if all, f.Unread = i.all(ctx, functions); f.Unread == nil {
		f.Functions = len(all)
	}
	if err := i.surveyEngines(ctx, &f, all); err != nil {
		return f, err
	}
	return f, i.surveyNeeds(ctx, &f, all)
}

func (i *Installer) surveyOperator(ctx context.Context, f *doctor.ClusterFacts) error {
	old, err := i.get(ctx, deployments, Namespace, former)
	if err != nil {
		return err
	}
	f.FormerOperator = old != nil && replicas(old) > 0
	d, err := i.get(ctx, deployments, Namespace, Operator)
	if err != nil {
		return err
	}
	if d != nil {
		available, _, _ := unstructured.NestedInt64(d.Object, "status", "availableReplicas")
		f.Operator = doctor.Operator{There: true, Version: d.GetLabels()[versionLabel], Image: imageOf(d), Wanted: replicas(d), Available: available}
		if available < f.Operator.Wanted {
			f.Operator.Stuck = i.stuck(ctx, d)
		}
	}
	hooks, err := i.all(ctx, validating)
	if err != nil {
		return err
	}
	f.WebhooksSet = slices.ContainsFunc(hooks, func(o unstructured.Unstructured) bool { return ours(&o) })
	if f.WebhooksSet {
		f.Webhooks = i.askWebhooks(ctx)
	}
	return nil
}

// replicas are those that a Deployment should have.
func replicas(d *unstructured.Unstructured) int64 {
	n, found, _ := unstructured.NestedInt64(d.Object, "spec", "replicas")
	if !found {
		return 1
	}
	return n
}

// askWebhooks sends a function that is not kept. What the webhooks say of it does not matter, only that they do.
func (i *Installer) askWebhooks(ctx context.Context) error {
	fn := functions.object()
	fn.SetNamespace(Namespace)
	fn.SetGenerateName("ofn-doctor-")
	fn.Object["spec"] = map[string]any{"image": "example.com/ofn-doctor"}
	err := i.Client.Create(ctx, fn, client.DryRunAll)
	if apierrors.IsInternalError(err) || apierrors.IsTimeout(err) || apierrors.IsServiceUnavailable(err) {
		return err
	}
	return nil
}

// surveyEngines says of each engine whether it is there, and which functions wait for it or have chosen it.
func (i *Installer) surveyEngines(ctx context.Context, f *doctor.ClusterFacts, all []unstructured.Unstructured) error {
	for _, r := range engines.Releases() {
		d, err := i.get(ctx, definitions, "", r.Definition)
		if err != nil {
			return err
		}
		e := doctor.Engine{Name: r.Name, Title: r.Title, There: d != nil, Version: versionOf(d), Current: r.Version, Oldest: r.Oldest, Install: r.Command()}
		for j := range all {
			if waitsFor(&all[j], r.Title) || slices.Contains(chosen(&all[j]), r.Name) {
				e.NeededBy = append(e.NeededBy, qualified(&all[j]))
			}
		}
		f.Engines = append(f.Engines, e)
	}
	return nil
}

func qualified(o *unstructured.Unstructured) string { return o.GetNamespace() + "/" + o.GetName() }

// waitsFor is whether the operator said that a function lacks an engine.
func waitsFor(fn *unstructured.Unstructured, title string) bool {
	conditions, _, _ := unstructured.NestedSlice(fn.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, _ := c.(map[string]any)
		reason, _ := m["reason"].(string)
		message, _ := m["message"].(string)
		return (reason == "EngineMissing" || reason == "EngineOutdated") && strings.Contains(message, title+" ")
	})
}

// chosen are the engines that a function names by itself.
func chosen(fn *unstructured.Unstructured) []string {
	engine, named, _ := unstructured.NestedString(fn.Object, "spec", "serving", "triggers", "http", "engine")
	_, keda, _ := unstructured.NestedMap(fn.Object, "spec", "serving", "scaleOptions", "keda")
	_, dapr, _ := unstructured.NestedSlice(fn.Object, "spec", "serving", "triggers", "dapr")
	var out []string
	if keda {
		out = append(out, "keda")
	}
	if dapr {
		out = append(out, "dapr")
	}
	switch {
	case named && engine == "keda":
		out = append(out, "keda", "keda-http")
	case named && engine == "knative":
		out = append(out, "knative")
	}
	return out
}

// needed collects who needs what.
type needed map[string][]string

func (n needed) add(what string, fn *unstructured.Unstructured) {
	if what != "" && !slices.Contains(n[what], qualified(fn)) {
		n[what] = append(n[what], qualified(fn))
	}
}

// surveyNeeds looks for what functions name beside engines.
func (i *Installer) surveyNeeds(ctx context.Context, f *doctor.ClusterFacts, all []unstructured.Unstructured) error {
	classes, features, secret := needed{}, needed{}, needed{}
	for j := range all {
		fn := &all[j]
		class, _, _ := unstructured.NestedString(fn.Object, "spec", "serving", "template", "runtimeClassName")
		classes.add(class, fn)
		for _, name := range featuresOf(fn) {
			features.add(name, fn)
		}
		for _, path := range credentialPaths {
			name, _, _ := unstructured.NestedString(fn.Object, path...)
			if name != "" {
				secret.add(fn.GetNamespace()+"/"+name, fn)
			}
		}
	}
	var err error
	if f.RuntimeClasses, err = i.needs(ctx, classes, func(ctx context.Context, name string) (bool, error) {
		o, err := i.get(ctx, runtimes, "", name)
		return o != nil, err
	}); err != nil {
		return err
	}
	if f.Secrets, err = i.needs(ctx, secret, func(ctx context.Context, name string) (bool, error) {
		namespace, name, _ := strings.Cut(name, "/")
		o, err := i.get(ctx, secrets, namespace, name)
		return o != nil, err
	}); err != nil {
		return err
	}
	flags, err := i.knativeFlags(ctx)
	if err != nil || flags == nil {
		return err
	}
	f.Features, err = i.needs(ctx, features, func(_ context.Context, name string) (bool, error) {
		return flags[name] == "enabled" || flags[name] == "allowed", nil
	})
	return err
}

// needs looks for everything that is needed. What these credentials may not read is left out.
func (i *Installer) needs(ctx context.Context, all needed, there func(context.Context, string) (bool, error)) ([]doctor.Need, error) {
	var out []doctor.Need
	for what, users := range all {
		ok, err := there(ctx, what)
		if apierrors.IsForbidden(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", what, err)
		}
		out = append(out, doctor.Need{What: what, There: ok, Functions: users})
	}
	slices.SortFunc(out, func(a, b doctor.Need) int { return strings.Compare(a.What, b.What) })
	return out, nil
}

// credentialPaths are the fields of a Function that name secrets of registries and repositories.
var credentialPaths = [][]string{
	{"spec", "imageCredentials", "name"},
	{"spec", "build", "builderCredentials", "name"},
	{"spec", "build", "srcRepo", "credentials", "name"},
}

// knativeFeatures are the fields of a pod template that Knative takes only when a flag allows it.
var knativeFeatures = map[string]string{
	"nodeSelector": "nodeselector", "tolerations": "tolerations", "affinity": "affinity", "runtimeClassName": "runtimeclassname",
	"initContainers": "init-containers", "securityContext": "securitycontext", "priorityClassName": "priorityclassname",
	"topologySpreadConstraints": "topologyspreadconstraints", "schedulerName": "schedulername", "hostAliases": "hostaliases",
	"dnsPolicy": "dnspolicy", "dnsConfig": "dnsconfig", "shareProcessNamespace": "shareprocessnamespace",
}

// featuresOf are the flags of Knative that a function with an HTTP trigger uses.
func featuresOf(fn *unstructured.Unstructured) []string {
	http, ok, _ := unstructured.NestedMap(fn.Object, "spec", "serving", "triggers", "http")
	if engine, named := http["engine"].(string); !ok || named && engine != "knative" {
		return nil
	}
	template, _, _ := unstructured.NestedMap(fn.Object, "spec", "serving", "template")
	var out []string
	for field := range template {
		if flag, ok := knativeFeatures[field]; ok {
			out = append(out, "kubernetes.podspec-"+flag)
		}
	}
	volumes, _, _ := unstructured.NestedSlice(template, "volumes")
	for _, v := range volumes {
		if m, ok := v.(map[string]any); ok && m["persistentVolumeClaim"] != nil {
			out = append(out, "kubernetes.podspec-persistent-volume-claim")
		}
	}
	return out
}

// knativeFlags are those of the cluster's Knative; nil without one, or when they may not be read.
func (i *Installer) knativeFlags(ctx context.Context) (map[string]string, error) {
	o, err := i.get(ctx, configMaps, "knative-serving", "config-features")
	if apierrors.IsForbidden(err) {
		return nil, nil //nolint:nilnil // as said
	}
	if o == nil || err != nil {
		return nil, err
	}
	flags, _, _ := unstructured.NestedStringMap(o.Object, "data")
	if flags == nil {
		flags = map[string]string{}
	}
	return flags, nil
}
