// Package pool keeps warm pods: they run a holder (package holder), which becomes the program of a function when one is wanted, so
// that a cold start makes no pod. Pods cannot move, so that each namespace whose functions can use them has its own. A warm pod
// becomes a copy of one revision and never returns.
//
// There are pods of several kinds: the plain ones run programs that stand alone, those of another kind have an image with what
// programs of a language need, and get the files above it.
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
	// Kind is that of the pods that can run it. File is an archive of files for all but the plain kind.
	Kind      string
	File      string
	Size      int64
	Args, Env []string
	Dir       string
	// Drop are names of variables that processes of the pod have from its image, and the program has not.
	Drop []string
}

// Programs knows the programs of images.
type Programs interface {
	// Program is that of an image that a revision of a namespace pulls with secrets of it; nil while it is not known, which begins to
	// change with the question, or when it has none that a warm pod can run.
	Program(namespace, image string, secrets []string) *Program
}

// Options make a Pool. All but Kinds, Resize and Resources are required.
type Options struct {
	Client   client.Client
	Programs Programs
	// Image is that of warm pods of the plain kind, whose name is empty, and Kinds are those of the others. Command is what runs the holder
	// with the hash of its token as last argument.
	Image   string
	Kinds   map[string]string
	Command []string
	// Size is how many pods wait in each namespace, of each kind; Most how many in all.
	Size, Most int
	Resources  corev1.ResourceRequirements
	// Resize says that pods can get other resources while they run (Kubernetes 1.33).
	Resize bool
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
	revisions map[types.NamespacedName]wish // that could use warm pods
	pods      map[types.NamespacedName]*pod
	growing   map[types.NamespacedName]chan *corev1.Pod // who waits for other resources
	avoided   map[types.NamespacedName]time.Time        // revisions that could not get one; until when
	refused   map[place]time.Time                       // where none could be made; until when none is tried
}

// wish is what a revision runs.
type wish struct {
	image   string
	secrets string // their names, each with a line end
}

// place is where warm pods wait.
type place struct{ namespace, kind string }

// pod is a warm one.
type pod struct {
	key     types.NamespacedName
	kind    string
	token   string // empty: of another process, and of no use
	address string // of its holder; empty until it has one
	asked   bool   // whether its holder is being asked if it waits
	ready   bool
	made    time.Time
}

// New is a pool without pods.
func New(o Options) *Pool {
	return &Pool{opt: o, id: strings.ToLower(rand.Text()[:12]), wake: make(chan struct{}, 1), revisions: map[types.NamespacedName]wish{}, pods: map[types.NamespacedName]*pod{},
		growing: map[types.NamespacedName]chan *corev1.Pod{}, avoided: map[types.NamespacedName]time.Time{}, refused: map[place]time.Time{},
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}}}
}

// Poke says that more may be known of programs.
func (p *Pool) Poke() { p.poke() }

func (p *Pool) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Consider tells of a revision that may get requests. Those that warm pods can run have them made, and their program fetched.
func (p *Pool) Consider(t *corev1.PodTemplate) {
	err := p.suitable(t)
	want := p.wish(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	key := client.ObjectKeyFromObject(t)
	had, known := p.revisions[key]
	switch {
	case err != nil && !known, err == nil && known && had == want:
		return
	case err != nil:
		delete(p.revisions, key)
	default:
		p.revisions[key] = want
	}
	p.poke()
}

func (p *Pool) suitable(t *corev1.PodTemplate) error {
	return suitable(&t.Template.Spec, p.opt.Container, p.opt.Resources, p.opt.Resize)
}

func (p *Pool) wish(t *corev1.PodTemplate) wish {
	w := wish{image: imageOf(t, p.opt.Container)}
	for _, s := range t.Template.Spec.ImagePullSecrets {
		w.secrets += s.Name + "\n"
	}
	return w
}

func (p *Pool) program(namespace string, w wish) *Program {
	var secrets []string
	for s := range strings.Lines(w.secrets) {
		secrets = append(secrets, strings.TrimSuffix(s, "\n"))
	}
	return p.opt.Programs.Program(namespace, w.image, secrets)
}

// Forget tells of a revision that gets no requests.
func (p *Pool) Forget(namespace, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	delete(p.revisions, key)
	delete(p.avoided, key)
	p.poke()
}

// Seen tells of a pod as it is now.
func (p *Pool) Seen(o *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := client.ObjectKeyFromObject(o)
	if to := p.growing[key]; to != nil {
		select {
		case <-to: // the latest alone counts
		default:
		}
		to <- o // has room: nobody else sends
	}
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

// avoid is how long a revision gets no warm pod after one that could not become its copy.
const avoid = time.Minute

// Take implements pods.Warm. The pod gets its program, its resources and its place among the revision's at the same time.
func (p *Pool) Take(ctx context.Context, t *corev1.PodTemplate, s instance.Spec, claim func(string)) (*corev1.Pod, error) {
	if p.suitable(t) != nil || s.Listen.Port == p.opt.Port {
		return nil, nil
	}
	program := p.program(t.Namespace, p.wish(t))
	if program == nil {
		return nil, nil
	}
	w := p.choose(client.ObjectKeyFromObject(t), program.Kind)
	if w == nil {
		return nil, nil
	}
	claim(w.key.Name)
	became := &corev1.Pod{}
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error {
		return p.give(inner, w, program, orderOf(t, program, w.key.Name, p.opt.Container))
	})
	group.Go(func() (err error) { became, err = p.adopt(inner, w, t); return err })
	group.Go(func() error { return p.grow(inner, w, t) })
	if err := group.Wait(); err != nil {
		if ctx.Err() == nil {
			p.mu.Lock()
			p.avoided[client.ObjectKeyFromObject(t)] = time.Now().Add(avoid)
			p.mu.Unlock()
		}
		return nil, fmt.Errorf("making warm pod %s a copy: %w", w.key, err)
	}
	return became, nil
}

// choose takes the oldest pod of a kind that waits, for a revision.
func (p *Pool) choose(revision types.NamespacedName, kind string) *pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until, ok := p.avoided[revision]; ok && time.Now().Before(until) {
		return nil
	}
	var best *pod
	for _, w := range p.pods {
		if w.ready && w.token != "" && w.key.Namespace == revision.Namespace && w.kind == kind && (best == nil || w.made.Before(best.made)) {
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
