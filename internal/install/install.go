package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// former is OpenFunction's own operator.
const former = "openfunction-controller-manager"

// Request says what is to be installed.
type Request struct {
	Manifests
	// Upgrade allows the operator to be replaced by one of another version.
	Upgrade bool
	// Wait until the operator is available.
	Wait bool
}

// ErrImage says that there is no image to run the operator from.
var ErrImage = errors.New("say with --image which image the operator is to run from; `ofn image --push REGISTRY/ofn:TAG` makes and pushes one of this program")

// Install puts the operator on the cluster, or brings what is there up to date, and takes away what an older version had more. It
// returns the objects as they are then. Nothing is changed before all that can be checked has been.
func (i *Installer) Install(ctx context.Context, r Request) ([]*unstructured.Unstructured, error) {
	i.Step("looking at the cluster")
	there, err := i.operator(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.fits(there); err != nil {
		return nil, err
	}
	if r.Image == "" {
		r.Image = imageOf(there)
	}
	if r.Image == "" {
		return nil, ErrImage
	}
	if err := i.scopeExists(ctx, r.Scope); err != nil {
		return nil, err
	}
	if r.Settings, err = i.kept(ctx, r.Settings); err != nil {
		return nil, err
	}
	objects, err := r.Objects()
	if err != nil {
		return nil, err
	}
	if err := i.permitted(ctx, objects); err != nil {
		return nil, err
	}
	i.Step("applying")
	if err := i.apply(ctx, objects); err != nil {
		return nil, explained(err)
	}
	if err := i.prune(ctx, objects); err != nil {
		return nil, err
	}
	if i.DryRun {
		return objects, nil
	}
	if err := i.until(ctx, func(ctx context.Context) (string, error) { return i.unestablished(ctx, objects) }); err != nil {
		return nil, err
	}
	if r.Wait {
		return objects, i.available(ctx, objects)
	}
	return objects, nil
}

// available waits until all Deployments among objects are.
func (i *Installer) available(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		if o.GetKind() != deployments.Kind {
			continue
		}
		if err := i.until(ctx, func(ctx context.Context) (string, error) { return i.unavailable(ctx, o.GetNamespace(), o.GetName()) }); err != nil {
			return err
		}
	}
	return nil
}

// operator reads the Deployment, nil when there is none, and refuses a cluster that OpenFunction's own operator works on.
func (i *Installer) operator(ctx context.Context) (*unstructured.Unstructured, error) {
	old, err := i.get(ctx, deployments, Namespace, former)
	if err != nil {
		return nil, explained(err)
	}
	if old != nil && replicas(old) > 0 {
		return nil, fmt.Errorf("OpenFunction's own operator works on this cluster (deployment %s/%s): two operators would undo each other's work. Hand over to this one with `kubectl -n %[1]s scale deployment %[2]s --replicas=0`, and come back here; docs/migration.md says what becomes of the functions, and the way back", Namespace, former)
	}
	return i.get(ctx, deployments, Namespace, Operator)
}

func (i *Installer) scopeExists(ctx context.Context, namespace string) error {
	if namespace == "" {
		return nil
	}
	o, err := i.get(ctx, namespaces, "", namespace)
	if err == nil && o == nil {
		return fmt.Errorf("there is no namespace %s, whose functions are to be looked after: make it first, with `kubectl create namespace %[1]s`", namespace)
	}
	return err
}

// fits says whether the request may change the operator that is there.
func (r Request) fits(there *unstructured.Unstructured) error {
	if there == nil {
		return nil
	}
	labels := there.GetLabels()
	if by := labels[managedByLabel]; by == "Helm" {
		return errHelm(there)
	}
	if is := scopeOf(there); is != r.Scope { // the webhooks of the former would go on guarding what nobody looks after
		return fmt.Errorf("the operator that is there looks after %s, and is to look after %s: remove it first with `ofn uninstall`, which leaves functions as they are", scoped(is), scoped(r.Scope))
	}
	if is, wanted := labels[versionLabel], labelValue(r.Version); is != "" && is != wanted && !r.Upgrade {
		return fmt.Errorf("version %s is installed, this program is %s: give --upgrade to replace it", is, wanted)
	}
	return nil
}

func scoped(namespace string) string {
	if namespace == "" {
		return "all namespaces"
	}
	return "namespace " + namespace
}

func errHelm(there *unstructured.Unstructured) error {
	return fmt.Errorf("the operator was installed with Helm (release %s): change or remove it with Helm", there.GetAnnotations()["meta.helm.sh/release-name"])
}

// imageOf is what an operator that is there runs from.
func imageOf(deployment *unstructured.Unstructured) string {
	if deployment == nil {
		return ""
	}
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		if m, ok := c.(map[string]any); ok {
			image, _ := m["image"].(string)
			return image
		}
	}
	return ""
}

// explained adds to an error of the API what to do about it.
func explained(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w: ask for this right, or use an account that has it (cluster-admin has)", err)
	}
	return err
}

// unestablished names definitions among objects that the cluster does not serve yet.
func (i *Installer) unestablished(ctx context.Context, objects []*unstructured.Unstructured) (string, error) {
	var waiting []string
	for _, o := range objects {
		if o.GetKind() != definitions.Kind {
			continue
		}
		d, err := i.get(ctx, definitions, "", o.GetName())
		if err != nil {
			return "", err
		}
		if d == nil || !conditionTrue(d, "Established") {
			waiting = append(waiting, o.GetName())
		}
	}
	if len(waiting) == 0 {
		return "", nil
	}
	return "the cluster serves " + strings.Join(waiting, ", "), nil
}

// unavailable says what a Deployment lacks.
func (i *Installer) unavailable(ctx context.Context, namespace, name string) (string, error) {
	d, err := i.get(ctx, deployments, namespace, name)
	if err != nil {
		return "", err
	}
	if d == nil {
		return "", fmt.Errorf("deployment %s/%s was deleted by somebody else", namespace, name)
	}
	wanted := replicas(d)
	seen, _, _ := unstructured.NestedInt64(d.Object, "status", "observedGeneration")
	updated, _, _ := unstructured.NestedInt64(d.Object, "status", "updatedReplicas")
	available, _, _ := unstructured.NestedInt64(d.Object, "status", "availableReplicas")
	if seen >= d.GetGeneration() && min(updated, available) >= wanted {
		return "", nil
	}
	return fmt.Sprintf("%s/%s is available (%d of %d)%s", namespace, name, min(updated, available), wanted, i.stuck(ctx, d)), nil
}

// stuck says why pods of a Deployment do not start, as far as it can be read: it is an addition to a message.
func (i *Installer) stuck(ctx context.Context, d *unstructured.Unstructured) string {
	labels, _, _ := unstructured.NestedStringMap(d.Object, "spec", "selector", "matchLabels")
	list := pods.list()
	if len(labels) == 0 || i.Client.List(ctx, list, client.InNamespace(d.GetNamespace()), client.MatchingLabels(labels)) != nil {
		return ""
	}
	for _, p := range list.Items {
		statuses, _, _ := unstructured.NestedSlice(p.Object, "status", "containerStatuses")
		for _, s := range statuses {
			m, _ := s.(map[string]any)
			reason, _, _ := unstructured.NestedString(m, "state", "waiting", "reason")
			message, _, _ := unstructured.NestedString(m, "state", "waiting", "message")
			if reason != "" && reason != "ContainerCreating" && reason != "PodInitializing" {
				return fmt.Sprintf("; pod %s: %s: %s", p.GetName(), reason, message)
			}
		}
	}
	return ""
}

func conditionTrue(o *unstructured.Unstructured, kind string) bool {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range all {
		if m, ok := c.(map[string]any); ok && m["type"] == kind {
			return m["status"] == "True"
		}
	}
	return false
}

// installed are the labels that tell what this command installed.
func installed() client.MatchingLabels {
	return client.MatchingLabels{partOfLabel: partOf, managedByLabel: Manager}
}

// prune deletes what this command once installed and is none of objects. Definitions and namespaces are never among it.
func (i *Installer) prune(ctx context.Context, objects []*unstructured.Unstructured) error {
	keep := map[string]bool{}
	for _, o := range objects {
		keep[o.GetNamespace()+" "+Identity(o)] = true
	}
	return i.deleteParts(ctx, func(o *unstructured.Unstructured) bool { return !keep[o.GetNamespace()+" "+Identity(o)] })
}

// deleteParts deletes what this command installed of all kinds that it may have, where unwanted says so.
func (i *Installer) deleteParts(ctx context.Context, unwanted func(*unstructured.Unstructured) bool) error {
	for _, kind := range parts() {
		list := kind.list()
		err := i.Client.List(ctx, list, installed())
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue // the cluster has no such kind
		}
		if err != nil {
			return explained(fmt.Errorf("listing what was installed: %w", err))
		}
		for j := range list.Items {
			if o := &list.Items[j]; unwanted(o) {
				if err := i.delete(ctx, o); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// delete deletes an object that may be gone already.
func (i *Installer) delete(ctx context.Context, o *unstructured.Unstructured) error {
	var options []client.DeleteOption
	if i.DryRun {
		options = append(options, client.DryRunAll)
	}
	err := i.Client.Delete(ctx, o, options...)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return explained(fmt.Errorf("deleting %s: %w", Identity(o), err))
	}
	i.Done(Identity(o), deleted)
	return nil
}

// Interval is how often an Installer looks at a cluster.
const Interval = 250 * time.Millisecond
