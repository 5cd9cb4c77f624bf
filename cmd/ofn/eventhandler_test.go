package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cluster"
)

var eventProcess = flag.String("event-process", "", "what TestEventProcess runs: arguments of ofn, one a line")

// TestEventProcess is ofn, in a process of its own that may be killed.
func TestEventProcess(t *testing.T) {
	if *eventProcess == "" {
		t.Skip("TestEventsOfCluster runs it")
	}
	cmd := root()
	cmd.SetArgs(strings.Split(*eventProcess, "\n"))
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// process is one of the pods of a cluster.
type process struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], "-test.run=^TestEventProcess$", "-event-process", strings.Join(p.args, "\n"))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func writePlan(t *testing.T, p cluster.Plan) string {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), cluster.PlanFile)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// seen are the events that a sink got.
type seen struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[string(body)] = true
}

func (s *seen) lacks(ids []string) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if !s.ids[id] {
			out = append(out, id)
		}
	}
	return out
}

// A bus, a source and a trigger as a cluster runs them, each killed while events flow: what a caller was told was taken arrives.
func TestEventsOfCluster(t *testing.T) {
	sink := &seen{ids: map[string]bool{}}
	server := httptest.NewServer(sink)
	defer server.Close()
	nats, hooks := freeAddress(t), freeAddress(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := json.Marshal(event.JetStreamOptions{URL: "nats://" + nats, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	bus := event.Bus{Name: event.Name{Name: "default"}, Kind: "jetStream", Options: options}
	name := event.Name{Namespace: "a", Name: "shop"}
	source := writePlan(t, cluster.Plan{Buses: []event.Bus{bus}, Letters: &cluster.Letters{Server: bus}, Owner: "u-1", Sources: []event.Source{
		{Name: name, Event: "orders", Kind: "webhook", Spec: json.RawMessage(`{}`), Bus: bus.Name, Topic: "a-shop-orders"},
		{Name: name, Event: "yearly", Kind: "cron", Spec: json.RawMessage(`{"schedule":"0 0 1 1 *"}`), Bus: bus.Name, Topic: "a-shop-yearly"}}})
	trigger := writePlan(t, cluster.Plan{Buses: []event.Bus{bus}, Letters: &cluster.Letters{Server: bus}, Functions: map[string]string{"a/fn": server.Listener.Addr().String()},
		Triggers: []event.Trigger{{Name: event.Name{Namespace: "a", Name: "t"}, Bus: bus.Name, Inputs: map[string]event.TriggerInput{"order": {Topic: "a-shop-orders"}},
			Subscribers: []event.Subscriber{{Condition: "order", From: "all", Sink: &event.Sink{Function: &event.Name{Namespace: "a", Name: "fn"}}}}}}})
	sources, status := freeAddress(t), freeAddress(t)
	parts := []*process{
		{t: t, args: []string{"event-bus", "--dir", t.TempDir(), "--token-file", token, "--address", nats, "--monitor-address", freeAddress(t), "--metrics-address", freeAddress(t)}},
		{t: t, args: []string{"event-handler", "--plan", source, "--state-dir", t.TempDir(), "--address", hooks, "--metrics-address", sources}},
		{t: t, args: []string{"event-handler", "--plan", trigger, "--state-dir", t.TempDir(), "--address", "", "--metrics-address", status}},
	}
	for _, p := range parts {
		p.start()
		t.Cleanup(p.kill)
	}
	var taken []string
	for i := range 24 {
		if i%6 == 3 {
			p := parts[i/6%len(parts)]
			p.kill()
			p.start()
		}
		taken = append(taken, post(t, "http://"+hooks+"/events/a/shop/orders", strconv.Itoa(i)))
	}
	eventually(t, "all events at the sink", func() string { return strings.Join(sink.lacks(taken), " ") })
	ready(t, sources, event.KindSource, event.KindSource) // that of kind cron has kept its place on the bus
	ready(t, status, event.KindTrigger)
}

// ready waits until a handler says that these are its parts, and that events flow.
func ready(t *testing.T, address string, kinds ...event.Kind) {
	t.Helper()
	eventually(t, "a handler that is ready", func() string {
		reports, err := askHandler()(t.Context(), address)
		if err != nil {
			return err.Error()
		}
		if len(reports) != len(kinds) {
			return fmt.Sprint(reports)
		}
		for i, r := range reports {
			if !r.Status.Ready || r.Ref.Kind != kinds[i] {
				return fmt.Sprint(reports)
			}
		}
		return ""
	})
}

// post sends an event until it is taken, and returns it.
func post(t *testing.T, to, body string) string {
	t.Helper()
	eventually(t, "event "+body+" to be taken", func() string {
		res, err := http.Post(to, "text/plain", strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		if res.StatusCode/100 != 2 {
			return res.Status
		}
		return ""
	})
	return body
}

// eventually waits until what says nothing more.
func eventually(t *testing.T, what string, wrong func() string) {
	t.Helper()
	deadline := time.Now().Add(operatorPatience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		why := wrong()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %s", what, why)
		}
		<-tick.C
	}
}
