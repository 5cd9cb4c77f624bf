package podlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// again is Reader.Again by default.
const again = 500 * time.Millisecond

// follower is one run of Follow. Its fields are the loop's alone.
type follower struct {
	*Reader
	q       Query
	pods    map[types.UID]*corev1.Pod
	last    map[place]time.Time
	reading map[string]bool // lives whose log is open
	over    map[string]bool // lives of which everything was read
	told    map[string]bool // notes

	lines chan line
	ended chan ending
	all   sync.WaitGroup
}

// ending is a log that was read to its end, or could not be.
type ending struct {
	of   one
	none string // why there is none
	err  error
}

// Follow writes what there is and goes on with what is written from now, by new pods too, until ctx ends or done says that
// nothing more comes; a nil done never does.
func (r *Reader) Follow(ctx context.Context, q Query, done func(context.Context) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{Reader: r, q: q, pods: map[types.UID]*corev1.Pod{}, last: map[place]time.Time{}, reading: map[string]bool{}, over: map[string]bool{}, told: map[string]bool{},
		lines: make(chan line, most), ended: make(chan ending)}
	defer f.all.Wait()
	defer cancel()
	version, err := f.begin(ctx)
	if err != nil {
		return err
	}
	for {
		next, err := f.watch(ctx, version, done)
		if err != nil || ctx.Err() != nil || next == "" {
			return err
		}
		version = next
	}
}

// begin writes what there is in the order of time.
func (f *follower) begin(ctx context.Context) (version string, err error) {
	pods, version, err := f.list(ctx, f.q)
	if err != nil {
		return "", err
	}
	f.know(pods)
	containers, waits, err := f.containers(pods, f.q)
	if err != nil {
		return "", err
	}
	switch {
	case len(pods) == 0 && !f.q.Every:
		f.Note("no copy runs; waiting for one")
	case len(containers) == 0 && waits != "":
		f.Note("%s", waits)
	}
	if len(containers) == 0 {
		return version, nil
	}
	last, err := f.merge(ctx, f.q, containers)
	maps.Copy(f.last, last)
	for _, c := range containers {
		f.over[c.life()] = c.ended
	}
	f.q.Tail = 0 // it was about what there was
	return version, err
}

func (f *follower) know(pods []corev1.Pod) {
	clear(f.pods)
	for i := range pods {
		f.pods[pods[i].UID] = &pods[i]
	}
}

// watch reads logs until the server ends the watch of pods; then it gives the version from which to go on, which is empty when nothing more
// comes.
func (f *follower) watch(ctx context.Context, version string, done func(context.Context) bool) (next string, err error) {
	w, err := f.Client.Watch(ctx, &corev1.PodList{}, client.InNamespace(f.q.Namespace), client.MatchingLabelsSelector{Selector: f.q.Selector},
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version}})
	if err != nil {
		return "", err
	}
	defer w.Stop()
	pause := f.Again
	if pause == 0 {
		pause = again
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	events, last := w.ResultChan(), false
	for f.start(ctx); ; {
		select {
		case <-ctx.Done():
			return "", nil
		case e, ok := <-events:
			if !ok || e.Type == watch.Error {
				events = nil // asked anew at the next tick
				continue
			}
			f.see(e)
			f.start(ctx)
		case n := <-f.lines:
			if err := f.show(n); err != nil {
				return "", err
			}
		case e := <-f.ended:
			if err := f.end(e); err != nil {
				return "", err
			}
		case <-tick.C:
			f.start(ctx) // what broke off
			over := done != nil && len(f.reading) == 0 && done(ctx)
			if events != nil && !over {
				continue
			}
			pods, version, err := f.list(ctx, f.q)
			if err != nil || over && last {
				return "", err
			}
			f.know(pods)
			if !over {
				return version, nil
			}
			last = true // what the pods wrote at their end is read before
			f.start(ctx)
		}
	}
}

func (f *follower) see(e watch.Event) {
	pod, ok := e.Object.(*corev1.Pod)
	switch {
	case !ok:
	case e.Type == watch.Deleted:
		delete(f.pods, pod.UID)
	default:
		f.pods[pod.UID] = pod
	}
}

// start opens the logs that are there and not read yet.
func (f *follower) start(ctx context.Context) {
	for _, p := range f.pods {
		begun, _ := begun(p, f.q.of(p))
		for _, c := range begun {
			switch life := c.life(); {
			case f.reading[life] || f.over[life]:
			case len(f.reading) >= most:
				f.once(fmt.Sprintf("there are more than %d logs: those of some new pods are not shown until others end", most))
				return
			default:
				f.reading[life] = true
				since := f.last[c.place()]
				f.all.Go(func() { f.read(ctx, c, since) })
			}
		}
	}
}

// read sends the lines of a container from a time on.
func (f *follower) read(ctx context.Context, c one, after time.Time) {
	since := after
	if since.IsZero() {
		since = f.q.Since
	}
	body, none, err := f.open(ctx, f.q, c, since, true)
	if body != nil {
		defer body.Close()
		for l := newLog(c, body); l.read(after) == nil; { // one that breaks off is opened again
			select {
			case f.lines <- l.next:
			case <-ctx.Done():
				return
			}
		}
	}
	select {
	case f.ended <- ending{c, none, err}:
	case <-ctx.Done():
	}
}

func (f *follower) once(note string) {
	if !f.told[note] {
		f.told[note] = true
		f.Note("%s", note)
	}
}

func (f *follower) show(n line) error {
	f.last[n.from.place()] = n.at
	return f.write(f.q, n)
}

// end takes down that a log was read. All its lines came before, but some may still wait.
func (f *follower) end(e ending) error {
	for {
		select {
		case n := <-f.lines:
			if err := f.show(n); err != nil {
				return err
			}
			continue
		default:
		}
		break
	}
	life := e.of.life()
	delete(f.reading, life)
	if e.err != nil {
		if errors.Is(e.err, context.Canceled) {
			return nil
		}
		return e.err
	}
	if e.none != "" {
		f.once(e.none)
	}
	f.over[life] = f.over[life] || e.of.ended || f.gone(e.of)
	return nil
}

// gone is whether the pod is deleted, or the container has ended that life as far as is known.
func (f *follower) gone(c one) bool {
	p := f.pods[c.uid]
	if p == nil {
		return true
	}
	for _, s := range p.Status.ContainerStatuses {
		if s.Name == c.name {
			return s.RestartCount != c.restarts || s.State.Running == nil
		}
	}
	return false
}
