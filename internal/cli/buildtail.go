package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/openfunction/ofn/internal/cli/connect"
	"github.com/openfunction/ofn/internal/cli/progress"
)

// tailGrace is how long the end of a log is waited for after its build has ended.
const tailGrace = 2 * time.Second

// buildTail shows the log of one build at a time as it grows. Its methods are for one goroutine.
type buildTail struct {
	session *session
	display *progress.Display
	name    string
	cancel  context.CancelFunc
	done    chan struct{}
	ended   chan struct{} // closed when the build has: a log that is not there now will not come
}

// start follows a build; the one that is followed already goes on.
func (t *buildTail) start(ctx context.Context, namespace, name string) {
	if t.name == name {
		return
	}
	t.stop()
	ctx, cancel := context.WithCancel(ctx)
	done, ended := make(chan struct{}), make(chan struct{})
	t.name, t.cancel, t.done, t.ended = name, cancel, done, ended
	go func() {
		defer close(done)
		if machine, err := t.session.Machine(ctx); err != nil || machine {
			t.copy(ctx, connect.BuilderPath(namespace, name), ended)
			return
		}
		t.pods(ctx, types.NamespacedName{Namespace: namespace, Name: name}, ended)
	}()
}

// finish waits for the rest of the log of a build that has ended.
func (t *buildTail) finish() {
	if t.done == nil {
		return
	}
	close(t.ended)
	grace := time.NewTimer(tailGrace)
	defer grace.Stop()
	select {
	case <-t.done:
	case <-grace.C:
	}
	t.stop()
}

// stop ends following and waits for its goroutine.
func (t *buildTail) stop() {
	if t.done != nil {
		t.cancel()
		<-t.done
		t.done = nil
	}
}

// copy asks again while the log is not there yet. A control plane without logs of builds shows none: the states tell.
func (t *buildTail) copy(ctx context.Context, path string, ended <-chan struct{}) {
	for {
		log, err := t.session.Stream(ctx, path, url.Values{"follow": {"true"}})
		if err == nil {
			w := t.display.Log()
			_, _ = io.Copy(w, bufio.NewReader(log)) // a log that breaks off is no failure of the deployment
			w.Flush()
			log.Close()
			return
		}
		var answer *connect.StatusError
		if !errors.As(err, &answer) || answer.Code != http.StatusNotFound {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-time.After(retry):
		}
	}
}

// pods shows the logs of the pods of a build on a cluster. Who may not read them sees the states alone.
func (t *buildTail) pods(ctx context.Context, key types.NamespacedName, ended <-chan struct{}) {
	q, _, err := t.session.buildPods(ctx, key, logQuery{})
	if err != nil {
		return
	}
	w := t.display.Log()
	defer w.Flush()
	r := t.session.podReader(w)
	r.Note = func(string, ...any) {}
	_ = r.Follow(ctx, q, func(context.Context) bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
}
