package podlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/internal/cli/connect"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at is a line as the kubelet gives it, so many seconds after the epoch.
func at(seconds float64, text string) string {
	return epoch.Add(time.Duration(seconds*float64(time.Second))).Format(time.RFC3339Nano) + " " + text + "\n"
}

// world is an API server with pods and their logs.
type world struct {
	*testing.T
	client client.WithWatch

	watched chan struct{} // closed by the first watch

	mu    sync.Mutex
	logs  map[string]func() io.ReadCloser // by pod/container
	asked []url.Values
	notes []string
}

func newWorld(t *testing.T, pods ...client.Object) *world {
	w := &world{T: t, watched: make(chan struct{}), logs: map[string]func() io.ReadCloser{}}
	first := sync.OnceFunc(func() { close(w.watched) })
	w.client = fake.NewClientBuilder().WithObjects(pods...).WithInterceptorFuncs(interceptor.Funcs{
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) (watch.Interface, error) {
			defer first()
			return c.Watch(ctx, list, o...)
		}}).Build()
	return w
}

func (w *world) reader(out io.Writer) *Reader {
	return &Reader{Client: w.client, Open: w.open, Out: out, Again: time.Millisecond, Note: func(format string, args ...any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.notes = append(w.notes, fmt.Sprintf(format, args...))
	}}
}

func (w *world) log(of string, lines ...string) {
	w.logs[of] = func() io.ReadCloser { return io.NopCloser(strings.NewReader(strings.Join(lines, ""))) }
}

func (w *world) open(_ context.Context, path string, q url.Values) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, q)
	pod := strings.TrimSuffix(strings.TrimPrefix(path, "/api/v1/namespaces/ns/pods/"), "/log")
	if log := w.logs[pod+"/"+q.Get("container")]; log != nil {
		return log(), nil
	}
	return nil, &connect.StatusError{Code: http.StatusNotFound, Message: "pod " + pod + " not found"}
}

func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.notes, "|")
}

// pod has containers that run.
func pod(name string, containers ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": "fn"}}}
	for _, c := range containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
	}
	return p
}

// ended makes the containers of a pod ones that ended.
func ended(p *corev1.Pod) *corev1.Pod {
	for i := range p.Status.ContainerStatuses {
		p.Status.ContainerStatuses[i].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	}
	return p
}

func query() Query {
	return Query{Namespace: "ns", Selector: labels.SelectorFromSet(labels.Set{"app": "fn"}), Prefer: "function"}
}

// texts takes the times off the lines.
func texts(out string) string {
	var all []string
	for line := range strings.Lines(out) {
		stamp, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
			rest = stamp + " " + rest
		}
		all = append(all, strings.TrimSpace(rest))
	}
	return strings.Join(all, "|")
}

func TestPrint(t *testing.T) {
	other := pod("other", "function")
	other.Labels["app"] = "another"
	waiting := pod("w", "function")
	waiting.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}
	chosen := pod("c", "first", "second")
	chosen.Annotations = map[string]string{defaultContainer: "second"}
	for name, test := range map[string]struct {
		pods   []client.Object
		change func(*Query)
		want   string
		err    string
	}{
		"merged":            {[]client.Object{pod("a", "function", "side"), pod("b", "function"), other}, nil, "a one|b two|a three|b four|b", ""},
		"the last ones":     {[]client.Object{pod("a", "function"), pod("b", "function")}, func(q *Query) { q.Tail = 2 }, "b four|b", ""},
		"another container": {[]client.Object{pod("a", "function", "side"), pod("b", "function")}, func(q *Query) { q.Container = "side" }, "a beside", ""},
		"no such container": {[]client.Object{pod("a", "function", "side")}, func(q *Query) { q.Container = "sid" }, "", "function, side"},
		"the default one":   {[]client.Object{chosen}, nil, "c second", ""},
		"the first one":     {[]client.Object{pod("c", "first", "second")}, nil, "c first", ""},
		"nothing runs":      {nil, nil, "", ErrNoPods.Error()},
		"nothing began":     {[]client.Object{waiting}, nil, "", "ImagePullBackOff): no such image"},
		"one has gone":      {[]client.Object{pod("a", "function"), pod("gone", "function")}, func(q *Query) { q.Tail = 1 }, "a three", ""},
		"a build":           {[]client.Object{pod("t", "step-fetch", "side", "step-build")}, func(q *Query) { q.Every, q.Bare = true, true }, "fetched |built", ""},
		"a build's only":    {[]client.Object{pod("c", "first", "second")}, func(q *Query) { q.Every, q.Bare = true, true }, "first |second", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.pods...)
			w.log("a/function", at(1, "one"), at(3, "three"))
			w.log("b/function", at(2, "two"), at(4, "four"), at(5, ""))
			w.log("a/side", at(1, "beside"))
			w.log("c/first", at(1, "first"))
			w.log("c/second", at(2, "second"))
			w.log("t/step-fetch", at(1, "fetched"))
			w.log("t/step-build", at(2, "built"))
			q := query()
			if test.change != nil {
				test.change(&q)
			}
			var out strings.Builder
			err := w.reader(&out).Print(t.Context(), q)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			got := texts(out.String())
			if q.Bare {
				got = strings.ReplaceAll(strings.TrimSpace(out.String()), "\n", " |")
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAsks(t *testing.T) {
	w := newWorld(t, pod("a", "function"))
	w.log("a/function", at(1, "one"))
	q := query()
	q.Tail, q.Since, q.Previous = 3, epoch, true
	if err := w.reader(io.Discard).Print(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if got, want := w.asked[0].Encode(), "container=function&previous=true&sinceTime=2026-01-02T03%3A04%3A05Z&tailLines=3&timestamps=true"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestForbidden(t *testing.T) {
	w := newWorld(t, pod("a", "function"))
	r := w.reader(io.Discard)
	r.Open = func(context.Context, string, url.Values) (io.ReadCloser, error) {
		return nil, &connect.StatusError{Code: http.StatusForbidden, Message: "pods/log is forbidden"}
	}
	for name, read := range map[string]func() error{
		"print":  func() error { return r.Print(t.Context(), query()) },
		"follow": func() error { return r.Follow(t.Context(), query(), nil) },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), "get on pods/log") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongLines(t *testing.T) {
	w := newWorld(t, pod("a", "function"))
	w.log("a/function", at(1, strings.Repeat("x", 3*maxLine)), at(2, "after"))
	var out strings.Builder
	if err := w.reader(&out).Print(t.Context(), query()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "x") != 3*maxLine || !strings.HasSuffix(got, "a after\n") || strings.Count(got, "\n") != 5 {
		t.Errorf("%d bytes in %d lines", len(got), strings.Count(got, "\n"))
	}
}

// following reads what Follow writes.
type following struct {
	*testing.T
	lines chan string
	end   chan error
}

func (f *following) Write(p []byte) (int, error) {
	f.lines <- string(p)
	return len(p), nil
}

func (w *world) follow(ctx context.Context, q Query, done func(context.Context) bool) *following {
	f := &following{T: w.T, lines: make(chan string, 100), end: make(chan error, 1)}
	go func() { f.end <- w.reader(f).Follow(ctx, q, done) }()
	return f
}

func (f *following) want(lines ...string) {
	f.Helper()
	for _, want := range lines {
		select {
		case got := <-f.lines:
			if texts(got) != want {
				f.Fatalf("got %q, want %q", got, want)
			}
		case err := <-f.end:
			f.Fatalf("it ended (%v) before %q", err, want)
		case <-time.After(30 * time.Second):
			f.Fatalf("nothing came where %q should", want)
		}
	}
}

func TestFollow(t *testing.T) {
	w := newWorld(t, pod("a", "function"))
	live, write := io.Pipe()
	opened := 0
	w.logs["a/function"] = func() io.ReadCloser {
		opened++
		switch opened {
		case 1: // what there is
			return io.NopCloser(strings.NewReader(at(1, "one") + at(2, "two")))
		case 2: // a connection that breaks off; times are told by the second
			return io.NopCloser(strings.NewReader(at(2, "two") + at(3, "three")))
		default:
			return live
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := w.follow(ctx, query(), nil)
	f.want("a one", "a two", "a three")
	go func() { _, _ = io.WriteString(write, at(3, "three")+at(3.5, "four")) }()
	f.want("a four")

	b := pod("b", "function")
	b.Status = corev1.PodStatus{}
	if err := w.client.Create(ctx, b); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.log("b/function", at(9, "new"))
	w.mu.Unlock()
	b.Status = pod("b", "function").Status
	if err := w.client.Status().Update(ctx, b); err != nil {
		t.Fatal(err)
	}
	f.want("b new")
	// The next life of a container.
	w.mu.Lock()
	w.log("b/function", at(9, "new"), at(10, "again"))
	w.mu.Unlock()
	b.Status.ContainerStatuses[0].RestartCount++
	if err := w.client.Status().Update(ctx, b); err != nil {
		t.Fatal(err)
	}
	f.want("b again")
	cancel()
	write.Close()
	if err := <-f.end; err != nil {
		t.Error(err)
	}
}

// What pods write at their end, and those that come late, is not lost when a build is over.
func TestFollowToTheEnd(t *testing.T) {
	w := newWorld(t)
	w.log("b/build", at(1, "built"))
	var over sync.Once
	f := w.follow(t.Context(), func() Query { q := query(); q.Every = true; return q }(), func(ctx context.Context) bool {
		over.Do(func() {
			if err := w.client.Create(ctx, ended(pod("b", "build"))); err != nil {
				t.Error(err)
			}
		})
		return true
	})
	f.want("b built")
	if err := <-f.end; err != nil {
		t.Error(err)
	}
	if w.said() != "" {
		t.Error("noted:", w.said())
	}
}

func TestFollowWaitsForTheFirst(t *testing.T) {
	w := newWorld(t)
	w.log("a/function", at(1, "one"))
	ctx, cancel := context.WithCancel(t.Context())
	f := w.follow(ctx, query(), nil)
	<-w.watched
	if err := w.client.Create(ctx, pod("a", "function")); err != nil {
		t.Fatal(err)
	}
	f.want("a one")
	cancel()
	if err := <-f.end; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
