// Package podlog reads what the containers of several pods have written, as one log: lines begin with their time and the name of their
// pod, as those of `ofn up` begin with their time and that of their copy.
package podlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/cli/connect"
)

// most is how many logs are read at the same time.
const most = 50

// stepPrefix begins the names of the containers that do the work in a pod of Tekton's.
const stepPrefix = "step-"

// defaultContainer is the annotation by which kubectl knows which container of a pod is meant.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// ErrNoPods says that no pod is selected.
var ErrNoPods = errors.New("no pod runs")

// Query says which logs are wanted. Zero fields do not restrict.
type Query struct {
	Namespace string
	Selector  labels.Selector
	// Container is the name of one. Empty is Prefer where a pod has that, else the one that the pod calls its default, else its first.
	Container, Prefer string
	// Every asks for all containers that do the work of a pod, one after the other, as in a build.
	Every bool
	// Bare leaves time and pod out of the lines.
	Bare bool

	Tail     int
	Since    time.Time
	Previous bool // of the containers that were there before those that were started again
}

// Reader reads logs with the rights of its clients.
type Reader struct {
	Client client.WithWatch
	// Open opens a path of the API server. What is not a success is a *connect.StatusError.
	Open func(ctx context.Context, path string, query url.Values) (io.ReadCloser, error)
	Out  io.Writer
	// Note gets what is not part of a log, a line each.
	Note func(format string, args ...any)
	// Again is how long to wait before looking again; 500 ms when it is 0.
	Again time.Duration
}

// one is a container of a pod, in one of its lives.
type one struct {
	uid       types.UID
	pod, name string
	restarts  int32
	ended     bool
	only      bool // no other container of the pod is shown
}

// place is a container through all of its lives.
type place struct {
	uid  types.UID
	name string
}

func (o one) place() place { return place{o.uid, o.name} }

// life tells the lives of a container apart.
func (o one) life() string { return fmt.Sprintf("%s/%s/%d", o.uid, o.name, o.restarts) }

// label is how lines of the container begin.
func (o one) label() string {
	if o.only {
		return o.pod
	}
	return o.pod + "/" + o.name
}

// Print writes what there is, in the order of time. There being no pod is ErrNoPods.
func (r *Reader) Print(ctx context.Context, q Query) error {
	pods, _, err := r.list(ctx, q)
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		return ErrNoPods
	}
	containers, waits, err := r.containers(pods, q)
	if err != nil {
		return err
	}
	if len(containers) == 0 {
		return errors.New(waits)
	}
	_, err = r.merge(ctx, q, containers)
	return err
}

// list is the selected pods, the oldest first, and where a watch goes on.
func (r *Reader) list(ctx context.Context, q Query) (pods []corev1.Pod, version string, err error) {
	var list corev1.PodList
	if err := r.Client.List(ctx, &list, client.InNamespace(q.Namespace), client.MatchingLabelsSelector{Selector: q.Selector}); err != nil {
		return nil, "", err
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list.Items, list.ResourceVersion, nil
}

// containers are those of the pods that are wanted and have begun, at most so many as are read at the same time. waits says why the others have not.
func (r *Reader) containers(pods []corev1.Pod, q Query) (out []one, waits string, err error) {
	var has []string
	found := false
	for i := range pods {
		names := q.of(&pods[i])
		found = found || len(names) > 0
		for _, c := range pods[i].Spec.Containers {
			if !slices.Contains(has, c.Name) {
				has = append(has, c.Name)
			}
		}
		begun, why := begun(&pods[i], names)
		out = append(out, begun...)
		if waits == "" {
			waits = why
		}
	}
	if !found && len(pods) > 0 {
		return nil, "", fmt.Errorf("no pod has a container %q; there are %s", q.Container, strings.Join(has, ", "))
	}
	if len(out) > most {
		r.Note("%d logs are too many: those of the %d newest containers are shown; choose with --revision", len(out), most)
		out = out[len(out)-most:]
	}
	return out, waits, nil
}

// of are the names of the containers of a pod that are wanted, in their order.
func (q Query) of(p *corev1.Pod) []string {
	var all, steps []string
	for _, c := range p.Spec.Containers {
		all = append(all, c.Name)
		if strings.HasPrefix(c.Name, stepPrefix) {
			steps = append(steps, c.Name)
		}
	}
	switch chosen := p.Annotations[defaultContainer]; {
	case q.Container != "":
		for _, c := range p.Spec.InitContainers {
			all = append(all, c.Name)
		}
		return slices.DeleteFunc(all, func(name string) bool { return name != q.Container })
	case q.Every && len(steps) > 0:
		return steps
	case q.Every:
		return all
	case slices.Contains(all, q.Prefer):
		return []string{q.Prefer}
	case slices.Contains(all, chosen):
		return []string{chosen}
	default:
		return all[:min(1, len(all))]
	}
}

// begun are the named containers of a pod that have a log, and why another has none yet.
func begun(p *corev1.Pod, names []string) (out []one, waits string) {
	for _, name := range names {
		var state corev1.ContainerStatus
		for _, s := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
			if s.Name == name {
				state = s
			}
		}
		if state.State.Running == nil && state.State.Terminated == nil && state.LastTerminationState.Terminated == nil {
			waits = fmt.Sprintf("pod %s has written nothing yet: %s", p.Name, why(p, state))
			continue
		}
		// One that waits to be started again still has the log of its last life.
		out = append(out, one{uid: p.UID, pod: p.Name, name: name, restarts: state.RestartCount, ended: state.State.Running == nil, only: len(names) == 1})
	}
	return out, waits
}

func why(p *corev1.Pod, s corev1.ContainerStatus) string {
	if w := s.State.Waiting; w != nil && w.Reason != "" {
		return strings.TrimSuffix("its container waits ("+w.Reason+"): "+w.Message, ": ")
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "it has no node: " + c.Message
		}
	}
	return "it starts"
}

// open opens the log of a container from a time on. When there is none (any more) it says why.
func (r *Reader) open(ctx context.Context, q Query, c one, since time.Time, follow bool) (body io.ReadCloser, none string, err error) {
	v := url.Values{"container": {c.name}, "timestamps": {"true"}}
	if follow {
		v.Set("follow", "true")
	}
	if q.Tail > 0 && since.Equal(q.Since) {
		v.Set("tailLines", strconv.Itoa(q.Tail))
	}
	if !since.IsZero() {
		v.Set("sinceTime", since.UTC().Format(time.RFC3339))
	}
	if q.Previous {
		v.Set("previous", "true")
	}
	log, err := r.Open(ctx, "/api/v1/namespaces/"+q.Namespace+"/pods/"+c.pod+"/log", v)
	var answer *connect.StatusError
	switch {
	case err == nil:
		return log, "", nil
	case !errors.As(err, &answer):
	case answer.Code == http.StatusForbidden:
		return nil, "", fmt.Errorf("you may not read logs in namespace %s: ask for the verb get on pods/log there: %w", q.Namespace, err)
	case answer.Code == http.StatusNotFound, answer.Code == http.StatusBadRequest:
		return nil, fmt.Sprintf("pod %s: %s", c.pod, answer.Message), nil
	}
	return nil, "", fmt.Errorf("reading the log of pod %s: %w", c.pod, err)
}
