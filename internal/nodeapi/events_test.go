package nodeapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/nodeapi"
)

// anyBus has what a test does not need.
type anyBus = bus.Bus

// memory is a bus and what lends it.
type memory struct {
	anyBus
	kept     []bus.Stored
	from     bus.From
	follow   bool
	released int
	full     bool
}

func (m *memory) Bus(_ context.Context, namespace, name string) (bus.Bus, func(), error) {
	if namespace != "ns" || name != "b" {
		return nil, nil, fmt.Errorf("%w: %s/%s", nodeapi.ErrNoBus, namespace, name)
	}
	return m, func() { m.released++ }, nil
}

func (m *memory) Publish(_ context.Context, e bus.Message) (bus.Receipt, error) {
	if m.full {
		return bus.Receipt{}, bus.ErrFull
	}
	m.kept = append(m.kept, bus.Stored{Message: e, Sequence: uint64(len(m.kept) + 1), Time: time.Unix(int64(len(m.kept)+1), 0).UTC()})
	return bus.Receipt{Sequence: uint64(len(m.kept))}, nil
}

func (m *memory) Read(_ context.Context, topics []string, from bus.From, follow bool, each func(bus.Stored) error) error {
	m.from, m.follow = from, follow
	for _, e := range m.kept[:len(m.kept):len(m.kept)] {
		if e.Sequence < from.Sequence || topics[0] != "*" && topics[0] != e.Topic {
			continue
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// letters is one dead letter.
type letters struct{ did []string }

func (l *letters) List(_ context.Context, q nodeapi.DeadLetterQuery) ([]nodeapi.DeadLetter, error) {
	l.did = append(l.did, fmt.Sprintf("list %+v", q))
	return []nodeapi.DeadLetter{{ID: "1", From: "t"}}, nil
}

func (l *letters) Get(_ context.Context, namespace, id string) (nodeapi.DeadLetter, error) {
	if id != "1" || namespace != "ns" {
		return nodeapi.DeadLetter{}, nodeapi.ErrNoLetter
	}
	return nodeapi.DeadLetter{ID: id, Event: &nodeapi.Event{Data: "x"}}, nil
}

func (l *letters) Redrive(context.Context, string, string) error {
	return fmt.Errorf("%w: still broken", nodeapi.ErrRefused)
}

func (l *letters) Delete(_ context.Context, _, id string) error {
	l.did = append(l.did, "delete "+id)
	return nil
}

func serveEvents(t *testing.T, m *memory, l *letters, function http.HandlerFunc) string {
	t.Helper()
	gateway := httptest.NewServer(function)
	t.Cleanup(gateway.Close)
	u, err := url.Parse(gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(nodeapi.New(nodeapi.Options{Buses: m, DeadLetters: l, Gateway: u, Transport: http.DefaultTransport, ClusterDomain: "cluster.local", Log: slog.New(slog.DiscardHandler),
		WebhookKey: func(_ context.Context, namespace string) ([]byte, error) { return []byte("key of " + namespace), nil }}))
	t.Cleanup(s.Close)
	return s.URL + "/ofn/v1/namespaces/ns/"
}

func send(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestEventsArePublishedTailedAndReplayed(t *testing.T) {
	m := &memory{}
	var called []string
	base := serveEvents(t, m, &letters{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		called = append(called, r.Host+r.URL.Path+" "+r.Header.Get("Ce-Id")+" "+string(body))
		if string(body) == "3" {
			w.WriteHeader(500)
		}
	})
	attributes := []string{"Ce-Specversion", "1.0", "Ce-Type", "t", "Ce-Source", "s", "Ce-Id", "i", "Content-Type", "text/plain", "X-Other", "no"}
	for i := range 3 {
		if code, body := send(t, "POST", base+"buses/b/events?topic=a&key=k&id=s/i", fmt.Sprint(i+1), attributes...); code != 200 || !strings.Contains(body, fmt.Sprint(i+1)) {
			t.Fatalf("publish answered %d %s", code, body)
		}
	}
	if e := m.kept[0]; e.Topic != "a" || e.Key != "k" || e.ID != "s/i" || len(e.Header) != 5 || e.Header["ce-id"] != "i" {
		t.Errorf("published %+v", e)
	}
	m.kept[1].Data = []byte{0xff}
	code, body := send(t, "GET", base+"buses/b/events?all=true&limit=2&topic=a", "")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	var first, second nodeapi.Event
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[1]), &second)); err != nil || code != 200 || len(lines) != 2 || first.Data != "1" || second.Base64[0] != 0xff || !m.from.All {
		t.Errorf("tail: %d %v %s", code, err, body)
	}
	m.kept[1].Data = []byte("2")
	if code, body = send(t, "POST", base+"buses/b/replay?sequence=2&function=f/again", ""); code != 200 || !strings.Contains(body, `"events":1,"last":2`) || !strings.Contains(body, "event 3 of topic a: f answered 500") {
		t.Errorf("replay to a function: %d %s", code, body)
	}
	if want := "[f.ns.svc.cluster.local/again i 2 f.ns.svc.cluster.local/again i 3]"; fmt.Sprint(called) != want {
		t.Errorf("the function got %v, want %s", called, want)
	}
	if code, body = send(t, "POST", base+"buses/b/replay?all=true&until=1970-01-01T00:00:03Z&totopic=other", ""); code != 200 || !strings.Contains(body, `"events":2`) {
		t.Errorf("replay to a topic: %d %s", code, body)
	}
	if e := m.kept[4]; len(m.kept) != 5 || e.Topic != "other" || e.ID == m.kept[3].ID || !strings.HasPrefix(e.ID, "replay-") || e.Header["ce-id"] != "i" {
		t.Errorf("replayed %+v", e)
	}
	if m.released == 0 {
		t.Error("the bus is never given back")
	}
}

func TestBadRequestsForEvents(t *testing.T) {
	m := &memory{}
	base := serveEvents(t, m, &letters{}, http.NotFound)
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"GET", "buses/other/events", 404}, {"GET", "buses/b/events?since=x", 400}, {"GET", "buses/b/events?sequence=-1", 400},
		{"POST", "buses/b/events", 400}, {"POST", "buses/b/events?topic=t", 400}, {"POST", "buses/b/replay", 400}, {"POST", "buses/b/replay?all=true&until=x", 400},
		{"GET", "deadletters?limit=0", 400}, {"GET", "deadletters/2", 404}, {"POST", "deadletters/1/redrive", 409},
	} {
		if code, body := send(t, c.method, base+c.path, ""); code != c.code || body == "" {
			t.Errorf("%s %s answered %d %s, want %d", c.method, c.path, code, body, c.code)
		}
	}
	m.full = true
	if code, _ := send(t, "POST", base+"buses/b/events?topic=t", "", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "t"); code != 507 {
		t.Errorf("a full bus answers %d", code)
	}
}

func TestDeadLetters(t *testing.T) {
	l := &letters{}
	base := serveEvents(t, &memory{}, l, http.NotFound)
	if code, body := send(t, "GET", base+"deadletters?kind=Trigger&from=t&limit=1&continue=0", ""); code != 200 || !strings.Contains(body, `"continue":"1"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := send(t, "GET", base+"deadletters/1", ""); code != 200 || !strings.Contains(body, `"data":"x"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := send(t, "DELETE", base+"deadletters/1", ""); code != 204 {
		t.Error(code)
	}
	if want := "[list {Namespace:ns Kind:Trigger From:t After:0 Limit:1} delete 1]"; fmt.Sprint(l.did) != want {
		t.Errorf("did %v, want %s", l.did, want)
	}
	if code, body := send(t, "GET", base+"webhook-key", ""); code != 200 || body != "whsec_a2V5IG9mIG5z\n" {
		t.Errorf("%d %s", code, body)
	}
}
