// Package pool keeps warm pods: they run a holder (package holder), which becomes the program of a function when one is wanted, so
// that a cold start makes no pod. Pods cannot move, so that each namespace whose functions can use them has its own. A warm pod
// becomes a copy of one revision and never returns.
package pool

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/holder"
)

// Label is on warm pods that are nobody's copy yet: the name of the pool's process. Pods of other names are of one that is no more.
const Label = "openfunction.io/warm"

// Program is what a copy runs.
type Program struct {
	File      string
	Size      int64
	Args, Env []string
	Dir       string
}

// Programs knows the programs of images.
type Programs interface {
	// Program is that of an image; nil while it is not known, which begins to change with the question, or when it has none that a
	// warm pod can run.
	Program(image string) *Program
}

// Options make a Pool. All but Resources are required.
type Options struct {
	Client   client.Client
	Programs Programs
	// Image is that of warm pods, Command what runs the holder with the hash of its token as last argument.
	Image   string
	Command []string
	// Size is how many pods wait in each namespace, Most how many in all.
	Size, Most int
	Resources  corev1.ResourceRequirements
	// Labels are on all pods. Container is the name of the function's container.
	Labels    map[string]string
	Container string
	Port      int // of holders
	Log       *slog.Logger
}

// Pool is a pods.Warm. Tell it of pods with Seen and Gone and of revisions with Consider and Forget, and run it with Run.
type Pool struct {
	opt  Options
	id   string
	http *http.Client
	wake chan struct{} // holds one

	mu        sync.Mutex
	revisions map[types.NamespacedName]bool // that can use warm pods
	pods      map[types.NamespacedName]*pod
}

// pod is a warm one.
type pod struct {
	key     types.NamespacedName
	token   string // empty: of another process, and of no use
	address string // of its holder; empty until it has one
	asked   bool   // whether its holder is being asked if it waits
	ready   bool
	made    time.Time
}

// New is a pool without pods.
func New(o Options) *Pool {
	return &Pool{opt: o, id: strings.ToLower(rand.Text()[:12]), wake: make(chan struct{}, 1), revisions: map[types.NamespacedName]bool{}, pods: map[types.NamespacedName]*pod{},
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}}}
}

func (p *Pool) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Consider tells of a revision that may get requests. Those that warm pods can run have them made, and their program fetched.
func (p *Pool) Consider(t *corev1.PodTemplate) {
	can := suitable(&t.Template.Spec, p.opt.Container) == nil
	if can {
		p.opt.Programs.Program(imageOf(t, p.opt.Container))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := client.ObjectKeyFromObject(t)
	if can == p.revisions[key] {
		return
	}
	p.revisions[key] = true
	if !can {
		delete(p.revisions, key)
	}
	p.poke()
}

// Forget tells of a revision that gets no requests.
func (p *Pool) Forget(namespace, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.revisions, types.NamespacedName{Namespace: namespace, Name: name})
	p.poke()
}

// Seen tells of a pod as it is now.
func (p *Pool) Seen(o *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := client.ObjectKeyFromObject(o)
	w := p.pods[key]
	of, warm := o.Labels[Label]
	switch {
	case !warm || !o.DeletionTimestamp.IsZero():
		if w != nil {
			delete(p.pods, key)
			p.poke()
		}
		return
	case w == nil && of == p.id:
		return // it was taken a moment ago
	case w == nil:
		w = &pod{key: key}
		p.pods[key] = w
	case over(o):
		w.token = ""
	case o.Status.PodIP != "" && w.address == "":
		w.address = net.JoinHostPort(o.Status.PodIP, strconv.Itoa(p.opt.Port))
	default:
		return
	}
	p.poke()
}

func over(o *corev1.Pod) bool {
	return o.Status.Phase == corev1.PodFailed || o.Status.Phase == corev1.PodSucceeded
}

// Gone tells that a pod is no more.
func (p *Pool) Gone(namespace, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if p.pods[key] != nil {
		delete(p.pods, key)
		p.poke()
	}
}

// Take implements pods.Warm. The pod gets its program and its place among the revision's at the same time.
func (p *Pool) Take(ctx context.Context, t *corev1.PodTemplate, s instance.Spec, claim func(string)) (*corev1.Pod, error) {
	if suitable(&t.Template.Spec, p.opt.Container) != nil || s.Listen.Port == p.opt.Port {
		return nil, nil
	}
	program := p.opt.Programs.Program(imageOf(t, p.opt.Container))
	if program == nil {
		return nil, nil
	}
	w := p.choose(t.Namespace)
	if w == nil {
		return nil, nil
	}
	claim(w.key.Name)
	became := &corev1.Pod{}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.give(ctx, w, program, orderOf(t, program, w.key.Name, p.opt.Container)) })
	group.Go(func() (err error) { became, err = p.adopt(ctx, w, t); return err })
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("making warm pod %s a copy: %w", w.key, err)
	}
	return became, nil
}

// choose takes the oldest pod that waits.
func (p *Pool) choose(namespace string) *pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *pod
	for _, w := range p.pods {
		if w.ready && w.token != "" && w.key.Namespace == namespace && (best == nil || w.made.Before(best.made)) {
			best = w
		}
	}
	if best != nil {
		delete(p.pods, best.key)
		p.poke()
	}
	return best
}

func (p *Pool) give(ctx context.Context, w *pod, program *Program, o holder.Order) error {
	f, err := os.Open(program.File)
	if err != nil {
		return fmt.Errorf("reading a program: %w", err)
	}
	defer f.Close()
	return holder.Give(ctx, p.http, w.address, w.token, o, f, program.Size)
}

// adopt makes the pod one of the revision.
func (p *Pool) adopt(ctx context.Context, w *pod, t *corev1.PodTemplate) (*corev1.Pod, error) {
	data, err := patchOf(t)
	if err != nil {
		return nil, err
	}
	o := named(w.key)
	if err := p.opt.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, data)); err != nil {
		return nil, fmt.Errorf("giving it to revision %s: %w", t.Name, err)
	}
	return o, nil
}

// labels are those of a pod that waits.
func (p *Pool) labels() map[string]string {
	out := maps.Clone(p.opt.Labels)
	if out == nil {
		out = map[string]string{}
	}
	out[Label] = p.id
	return out
}
