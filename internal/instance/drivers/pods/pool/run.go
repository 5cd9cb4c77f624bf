package pool

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/instance/drivers/pods/holder"
)

// again is how soon what did not work is tried again.
const again = 5 * time.Second

// Run makes the pods that are missing, asks new ones whether they wait, and deletes those that are of no use, until ctx ends. The pods
// that wait are deleted then: nobody else has their tokens.
func (p *Pool) Run(ctx context.Context) {
	var asking sync.WaitGroup
	defer p.leave(ctx)
	defer asking.Wait()
	t := time.NewTicker(again)
	defer t.Stop()
	for {
		lacking, useless, fresh := p.look()
		for _, key := range useless {
			p.remove(ctx, key)
		}
		for _, w := range fresh {
			asking.Go(func() { p.ask(ctx, w) })
		}
		p.make(ctx, lacking)
		select {
		case <-p.wake:
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// wanted are the places in which pods are to wait.
func (p *Pool) wanted() map[place]int {
	p.mu.Lock()
	all := maps.Clone(p.revisions)
	p.mu.Unlock()
	out := map[place]int{}
	for key, w := range all {
		if program := p.program(key.Namespace, w); program != nil {
			out[place{key.Namespace, program.Kind}] = p.opt.Size
		}
	}
	return out
}

// look says what is to be done: the places that lack a pod, one entry for each; the pods that are of no use; those whose holder is
// to be asked, which are then noted as being so.
func (p *Pool) look() (lacking []place, useless []types.NamespacedName, fresh []*pod) {
	wanted := p.wanted()
	p.mu.Lock()
	defer p.mu.Unlock()
	all := 0
	for key, w := range p.pods {
		at := place{key.Namespace, w.kind}
		switch {
		case w.token == "" || wanted[at] == 0:
			useless = append(useless, key)
			continue
		case w.address != "" && !w.asked:
			w.asked = true
			fresh = append(fresh, w)
		}
		wanted[at]--
		all++
	}
	maps.DeleteFunc(p.refused, func(_ place, until time.Time) bool { return !time.Now().Before(until) })
	for at, n := range wanted {
		if _, refused := p.refused[at]; refused {
			continue
		}
		for range n {
			if all++; all <= p.opt.Most {
				lacking = append(lacking, at)
			}
		}
	}
	return lacking, useless, fresh
}

// make makes pods, one for each entry. Where one is refused, such as by a quota or because the namespace is being deleted, the next is tried
// a while later, whatever happens meanwhile; the other places have theirs. When nobody answers, all of it is left for later.
func (p *Pool) make(ctx context.Context, lacking []place) {
	var refused []place
	for _, at := range lacking {
		if slices.Contains(refused, at) {
			continue
		}
		err := p.create(ctx, at)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		p.opt.Log.Warn("a warm pod was not made", "namespace", at.namespace, "kind", at.kind, "again_in", again, "err", err)
		refused = append(refused, at)
		p.mu.Lock()
		p.refused[at] = time.Now().Add(again)
		p.mu.Unlock()
		if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
			return
		}
	}
}

func (p *Pool) create(ctx context.Context, at place) error {
	w := &pod{token: rand.Text(), made: time.Now(), kind: at.kind, key: types.NamespacedName{Namespace: at.namespace, Name: "warm-" + strings.ToLower(rand.Text()[:12])}}
	p.mu.Lock()
	p.pods[w.key] = w // before the pod, so that Seen finds it
	p.mu.Unlock()
	err := p.opt.Client.Create(ctx, p.podOf(w))
	if err != nil {
		p.Gone(w.key.Namespace, w.key.Name)
	}
	return err
}

// ask waits until the holder of a pod waits.
func (p *Pool) ask(ctx context.Context, w *pod) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		err := holder.Waits(ctx, p.http, w.address)
		if err == nil {
			p.mu.Lock()
			w.ready = true
			p.mu.Unlock()
			return
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			p.mu.Lock()
			w.token = "" // of no use
			p.mu.Unlock()
			p.poke()
			return
		}
	}
}

func (p *Pool) remove(ctx context.Context, key types.NamespacedName) {
	err := p.opt.Client.Delete(ctx, named(key), client.GracePeriodSeconds(1))
	if client.IgnoreNotFound(err) != nil {
		p.opt.Log.Warn("a warm pod was not deleted", "pod", key.String(), "err", err)
		return
	}
	p.Gone(key.Namespace, key.Name)
}

// leave deletes the pods that wait.
func (p *Pool) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), again)
	defer cancel()
	p.mu.Lock()
	var all []types.NamespacedName
	for key := range p.pods {
		all = append(all, key)
	}
	p.mu.Unlock()
	for _, key := range all {
		p.remove(ctx, key)
	}
}

// Ready is how many pods wait in a namespace.
func (p *Pool) Ready(namespace string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for key, w := range p.pods {
		if key.Namespace == namespace && w.ready {
			n++
		}
	}
	return n
}
