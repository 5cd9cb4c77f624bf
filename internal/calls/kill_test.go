package calls

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The environment of a child process that kills itself.
const (
	killDir  = "OFN_CALLS_KILL_DIR"
	killURL  = "OFN_CALLS_KILL_URL"
	killStep = "OFN_CALLS_KILL_STEP"
)

func TestMain(m *testing.M) {
	if os.Getenv(killDir) != "" {
		if err := victim(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return
	}
	os.Exit(m.Run())
}

// steps kills the process at one of them.
type steps struct {
	mu   sync.Mutex
	left int
}

func (s *steps) step() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// killer has a step before and after each write.
type killer struct {
	jetstream.JetStream
	steps *steps
}

func (k killer) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	k.steps.step()
	ack, err := k.JetStream.PublishMsg(ctx, m, o...)
	k.steps.step()
	return ack, err
}

const killCalls = 4

// victim accepts calls, tells each that it accepted, and runs them until it dies or all have ended.
func victim() error {
	dir, target := os.Getenv(killDir), os.Getenv(killURL)
	n, err := strconv.Atoi(os.Getenv(killStep))
	if err != nil {
		return err
	}
	js, stop, err := startStore(dir)
	if err != nil {
		return err
	}
	defer stop()
	s := &steps{left: n}
	c, err := Open(context.Background(), Options{JetStream: killer{js, s}, HostOf: func(Name) string { return "told" },
		Transport: transport(func(r *http.Request) (*http.Response, error) {
			s.step()
			resp, err := via(target)(r)
			s.step()
			return resp, err
		})})
	if err != nil {
		return err
	}
	for i := range killCalls {
		call := to(fmt.Sprintf("f%d", i))
		call.Key = fmt.Sprint("key", i)
		call.OnSuccess = &Destination{Function: &Name{"ns", "told"}}
		a, err := c.Accept(context.Background(), call)
		if err != nil {
			return err
		}
		fmt.Println(a.ID, i)
	}
	for c.Lag(Name{}) > 0 || owed(c) {
		time.Sleep(time.Millisecond)
	}
	shut(c)
	fmt.Println("done")
	return nil
}

func owed(c *Calls) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.index.calls {
		if e.notice {
			return true
		}
	}
	return false
}

// via sends everything to one server.
func via(target string) transport {
	return func(r *http.Request) (*http.Response, error) {
		out := r.Clone(r.Context())
		out.URL.Host, out.Host = strings.TrimPrefix(target, "http://"), r.URL.Host
		return http.DefaultTransport.RoundTrip(out)
	}
}

// Whatever the step a process is killed at: each call it told to be accepted ends with the answer that its function gave, the
// function was called for it, and word of it was delivered.
func TestKilledBetweenAnyTwoSteps(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for n, over := 1, false; !over; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) { over = killedAt(t, self, n) })
		if t.Failed() {
			return
		}
	}
}

func killedAt(t *testing.T, self string, n int) (finished bool) {
	var mu sync.Mutex
	called, told := map[string]int{}, map[string]int{}
	fn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Host == "told" {
			told[r.Header.Get("Ce-Subject")]++
			return
		}
		called[r.Header.Get(HeaderID)]++
		fmt.Fprint(w, "answer to ", r.Header.Get(HeaderID))
	}))
	defer fn.Close()
	dir := t.TempDir()
	accepted, finished := kill(t, self, dir, fn.URL, n)
	js := openStore(t, dir)
	c := open(t, Options{JetStream: js, Transport: via(fn.URL), HostOf: func(Name) string { return "told" }})
	for id, i := range accepted {
		r := ended(t, c, id)
		eventually(t, "word of the end", func() bool { return get(t, c, id).Notice.Sent })
		mu.Lock()
		if r.State != Succeeded || string(r.Body) != "answer to "+id || called[id] == 0 || told[id] == 0 {
			t.Errorf("call %s: %+v %q, called %d times, word delivered %d times", id, r.Info, r.Body, called[id], told[id])
		}
		mu.Unlock()
		call := to("f" + i)
		call.Key = "key" + i
		if a, err := c.Accept(t.Context(), call); err != nil || a.ID != id {
			t.Errorf("the key of %s is forgotten: %+v %v", id, a, err)
		}
	}
	eventually(t, "nothing is left to do", func() bool { return c.Lag(Name{}) == 0 && !owed(c) })
	page, err := c.List(Query{})
	if err != nil || len(page.Calls) > len(accepted)+1 {
		t.Errorf("%d calls of %d that were accepted (%v)", len(page.Calls), len(accepted), err)
	}
	return finished
}

// kill runs a victim and gives what it said it had accepted.
func kill(t *testing.T, self, dir, target string, n int) (accepted map[string]string, finished bool) {
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), killDir+"="+dir, killURL+"="+target, killStep+"="+strconv.Itoa(n))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	accepted = map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if lines.Text() == "done" {
			finished = true
			continue
		}
		id, i, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			t.Fatalf("the victim said %q", lines.Text())
		}
		accepted[id] = i
	}
	if finished != (err == nil) || errs.Len() > 0 {
		t.Fatalf("the victim ended with %v: %s%s", err, out, errs.Bytes())
	}
	return accepted, finished
}
