package deliver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
)

// sink answers as script says, one entry a call; the last is repeated.
type sink struct {
	mu     sync.Mutex
	script []reaction
	calls  []*http.Request
	bodies []string
	times  []time.Time
}

type reaction struct {
	code   int
	header http.Header
	body   string
	err    error
	hang   bool
}

func (s *sink) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	body, _ := io.ReadAll(r.Body)
	s.calls, s.bodies, s.times = append(s.calls, r), append(s.bodies, string(body)), append(s.times, time.Now())
	now := s.script[0]
	if len(s.script) > 1 {
		s.script = s.script[1:]
	}
	s.mu.Unlock()
	if now.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if now.err != nil {
		return nil, now.err
	}
	if now.header == nil {
		now.header = http.Header{}
	}
	return &http.Response{StatusCode: now.code, Header: now.header, Body: io.NopCloser(strings.NewReader(now.body))}, nil
}

// letters and topics keep what they get.
type letters struct {
	put []deliver.Letter
	err error
}

func (l *letters) Put(_ context.Context, x deliver.Letter) error {
	if l.err == nil {
		l.put = append(l.put, x)
	}
	return l.err
}
func (l *letters) List(context.Context, deliver.Filter) ([]deliver.Letter, error) { return l.put, nil }
func (l *letters) Get(_ context.Context, id string) (deliver.Letter, error) {
	if id != "1" || len(l.put) == 0 {
		return deliver.Letter{}, deliver.ErrNoLetter
	}
	return l.put[0], nil
}
func (l *letters) Delete(context.Context, string) error {
	l.put = nil
	return nil
}

type topics struct {
	got []bus.Message
	err error
}

func (p *topics) Publish(_ context.Context, _ event.Name, m bus.Message) error {
	if p.err == nil {
		p.got = append(p.got, m)
	}
	return p.err
}

func sample() cloudevent.Event {
	return cloudevent.Event{ID: "i", Source: "/s", Type: "t", DataContentType: "text/plain", Data: []byte("hello"),
		Extensions: map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
}

var function = event.Sink{Function: &event.Name{Namespace: "n", Name: "f"}, Path: "/p"}

func delivery() deliver.Delivery {
	return deliver.Delivery{Event: sample(), Sink: function, From: event.Ref{Kind: event.KindTrigger, Name: event.Name{Namespace: "n", Name: "t"}}}
}

func options(s *sink, l *letters) deliver.Options {
	return deliver.Options{Functions: s, URIs: s, Letters: l, HostOf: func(n event.Name) string { return n.Name + "." + n.Namespace + ".svc" }}
}

func TestDelivered(t *testing.T) {
	s, l := &sink{script: []reaction{{code: 204}}}, &letters{}
	r, err := deliver.New(options(s, l)).Deliver(t.Context(), delivery())
	if err != nil || r.Err != nil || r.Attempts != 1 || len(l.put) != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	q := s.calls[0]
	if q.URL.String() != "http://f.n.svc/p" || q.Header.Get("Ce-Id") != "i" || q.Header.Get("Content-Type") != "text/plain" || s.bodies[0] != "hello" {
		t.Fatalf("request %s %v %q", q.URL, q.Header, s.bodies[0])
	}
	if q.Header.Get("Traceparent") != sample().Extensions["traceparent"] {
		t.Fatal("the trace does not reach the function")
	}
}

// TestOutcomes is the table of what is tried again and what is not.
func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		answer   reaction
		attempts int
	}{
		"network":  {reaction{err: io.ErrUnexpectedEOF}, 4},
		"hangs":    {reaction{hang: true}, 4},
		"404":      {reaction{code: 404}, 4},
		"408":      {reaction{code: 408}, 4},
		"409":      {reaction{code: 409}, 4},
		"429":      {reaction{code: 429}, 4},
		"500":      {reaction{code: 500}, 4},
		"503":      {reaction{code: 503}, 4},
		"400":      {reaction{code: 400, body: "bad\nthing"}, 1},
		"401":      {reaction{code: 401}, 1},
		"redirect": {reaction{code: 302}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := &sink{script: []reaction{c.answer}}, &letters{}
				v := delivery()
				v.Retry = event.Policy{Attempts: 4}
				r, err := deliver.New(options(s, l)).Deliver(t.Context(), v)
				if err != nil || !r.Dead || r.Attempts != c.attempts || len(s.calls) != c.attempts {
					t.Fatalf("%+v %v, %d calls", r, err, len(s.calls))
				}
				if len(l.put) != 1 || l.put[0].Attempts != c.attempts || l.put[0].Code != c.answer.code || l.put[0].Sink.Path != "/p" || l.put[0].Cause == "" {
					t.Fatalf("letters: %+v", l.put)
				}
			})
		})
	}
}

func TestRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := &sink{script: []reaction{{code: 500}, {err: net.ErrClosed}, {code: 200}}}, &letters{}
		r, err := deliver.New(options(s, l)).Deliver(t.Context(), delivery())
		if err != nil || r.Err != nil || r.Attempts != 3 || len(l.put) != 0 {
			t.Fatalf("%+v %v", r, err)
		}
		if first, second := s.times[1].Sub(s.times[0]), s.times[2].Sub(s.times[1]); first < 100*time.Millisecond || first > 300*time.Millisecond || second < 200*time.Millisecond || second > 600*time.Millisecond {
			t.Fatalf("waits %v, %v are not 200 ms and 400 ms by half more or less", first, second)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{script: []reaction{{code: 503, header: http.Header{"Retry-After": {"20"}}}, {code: 429, header: http.Header{"Retry-After": {"86400"}}}, {code: 200}}}
		if r, err := deliver.New(options(s, &letters{})).Deliver(t.Context(), delivery()); err != nil || r.Err != nil {
			t.Fatalf("%+v %v", r, err)
		}
		if a, b := s.times[1].Sub(s.times[0]), s.times[2].Sub(s.times[1]); a != 20*time.Second || b != 5*time.Minute {
			t.Fatalf("waits %v and %v, want 20s and the longest patience of 5m", a, b)
		}
	})
}

func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := &sink{script: []reaction{{code: 500}}}, &letters{}
		v := delivery()
		v.Accepted, v.Retry = time.Now().Add(-time.Hour), event.Policy{MaxAge: time.Hour}
		if r, err := deliver.New(options(s, l)).Deliver(t.Context(), v); err != nil || !r.Dead || r.Attempts != 1 {
			t.Fatalf("%+v %v", r, err)
		}
	})
}

func TestDeadLetterSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, p := &sink{script: []reaction{{code: 400, body: "no"}}}, &letters{}, &topics{}
		o := options(s, l)
		o.Topics = p
		d, v := deliver.New(o), delivery()
		v.DeadLetter = &event.Sink{Topic: "dead"}
		if r, err := d.Deliver(t.Context(), v); err != nil || !r.Dead || len(l.put) != 0 || len(p.got) != 1 {
			t.Fatalf("%+v %v %d", r, err, len(p.got))
		}
		for name, want := range map[string]string{"ce-knativeerrorcode": "400", "ce-knativeerrordata": "bm8=", "ce-ofnerrorattempts": "1", "ce-ofnerrorfrom": "Trigger/n/t", "ce-id": "i"} {
			if got := p.got[0].Header[name]; got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		p.err = errors.New("bus away")
		if r, err := d.Deliver(t.Context(), v); err != nil || !r.Dead || len(l.put) != 1 || !strings.Contains(l.put[0].Cause, "bus away") {
			t.Fatalf("a dead letter sink that fails must leave the letter with the platform: %+v %v", r, err)
		}
		l.err = bus.ErrFull
		if r, err := d.Deliver(t.Context(), v); !errors.Is(err, bus.ErrFull) || r.Dead {
			t.Fatalf("without a durable letter the event must not be acknowledged: %+v %v", r, err)
		}
	})
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := &sink{script: []reaction{{hang: true}}}, &letters{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := deliver.New(options(s, l)).Deliver(ctx, delivery()); !errors.Is(err, context.DeadlineExceeded) || len(l.put) != 0 {
			t.Fatalf("%v, %d letters: what the end of the platform cut off is no dead letter", err, len(l.put))
		}
	})
}

// TestCircuit: a sink that is down is called by few, every event ends by its policy, and its return is noticed.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := &sink{script: []reaction{{err: net.ErrClosed}}}, &letters{}
		o := options(s, l)
		var mu sync.Mutex
		guarded := &locked{mu: &mu, Letters: l}
		o.Letters = guarded
		d := deliver.New(o)
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				if r, err := d.Deliver(t.Context(), delivery()); err != nil || !r.Dead || r.Attempts != 10 {
					t.Errorf("%+v %v", r, err)
				}
			})
		}
		all.Wait()
		if n := len(s.calls); n >= 1000 {
			t.Errorf("%d calls of a sink that is down, for 2000 attempts", n)
		}
		s.script = []reaction{{code: 200}}
		time.Sleep(3 * time.Second)
		if r := d.Attempt(t.Context(), delivery()); r.Err != nil {
			t.Errorf("a sink that came back: %v", r.Err)
		}
	})
}

type locked struct {
	mu *sync.Mutex
	deliver.Letters
}

func (l *locked) Put(ctx context.Context, x deliver.Letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Letters.Put(ctx, x)
}

func TestReply(t *testing.T) {
	reply := reaction{code: 200, header: http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"r"}, "Ce-Source": {"/f"}, "Ce-Type": {"answer"}}, body: "pong"}
	s, p := &sink{script: []reaction{reply}}, &topics{}
	o := options(s, &letters{})
	o.Topics = p
	v := delivery()
	if r := deliver.New(o).Attempt(t.Context(), v); r.Err != nil || len(p.got) != 0 {
		t.Fatalf("a reply that nobody wants: %+v", r)
	}
	v.Reply = &event.Sink{Topic: "replies"}
	if r := deliver.New(o).Attempt(t.Context(), v); r.Err != nil || len(p.got) != 1 || p.got[0].Header["ce-id"] != "r" || string(p.got[0].Data) != "pong" {
		t.Fatalf("%+v %+v", r, p.got)
	}
	p.err = errors.New("away")
	if r := deliver.New(o).Attempt(t.Context(), v); r.Err == nil || !r.Retry {
		t.Fatalf("a reply that is lost: %+v", r)
	}
}

func TestSignature(t *testing.T) {
	key := []byte("0123456789abcdef01234567")
	s := &sink{script: []reaction{{code: 200}}}
	o := options(s, &letters{})
	o.SigningKey = func(_ context.Context, namespace string) ([]byte, error) {
		if namespace != "n" {
			return nil, errors.New("wrong namespace " + namespace)
		}
		return key, nil
	}
	v := delivery()
	v.Sink = event.Sink{URI: "https://user:pw@example.test/hook?x=1"}
	if r := deliver.New(o).Attempt(t.Context(), v); r.Err != nil {
		t.Fatal(r.Err)
	}
	hook, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := hook.Verify([]byte(s.bodies[0]), s.calls[0].Header); err != nil {
		t.Fatal(err)
	}
	if u, p, ok := s.calls[0].BasicAuth(); !ok || u != "user" || p != "pw" {
		t.Fatal("the credentials of the URI are not sent")
	}
}

func TestBadSinks(t *testing.T) {
	for name, sk := range map[string]event.Sink{"none": {}, "scheme": {URI: "ftp://x/"}, "relative": {URI: "/x"}, "no bus": {Topic: "t"}} {
		v := delivery()
		v.Sink = sk
		if r := deliver.New(options(&sink{}, &letters{})).Attempt(t.Context(), v); r.Err == nil || r.Retry {
			t.Errorf("%s: %+v, want a final error", name, r)
		}
	}
}

func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := &sink{script: []reaction{{code: 400}, {code: 500}, {code: 200}}}, &letters{}
		d := deliver.New(options(s, l))
		if _, err := d.Deliver(t.Context(), delivery()); err != nil {
			t.Fatal(err)
		}
		if err := d.Redrive(t.Context(), "2"); !errors.Is(err, deliver.ErrNoLetter) {
			t.Fatal(err)
		}
		if err := d.Redrive(t.Context(), "1"); err == nil || len(l.put) != 1 {
			t.Fatalf("a letter that was refused again must stay: %v", err)
		}
		if err := d.Redrive(t.Context(), "1"); err != nil || len(l.put) != 0 {
			t.Fatalf("%v, %d letters left", err, len(l.put))
		}
	})
}
