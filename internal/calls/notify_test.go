package calls

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// topics remembers what is published.
type topics struct {
	mu   sync.Mutex
	sent []string
	fail int
}

func (p *topics) Publish(_ context.Context, bus Name, topic, id string, header map[string]string, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail > 0 {
		p.fail--
		return errors.New("the bus is away")
	}
	p.sent = append(p.sent, fmt.Sprint(bus, topic, id == header["ce-id"], header["ce-type"], header["ce-callstatus"], string(data)))
	return nil
}

func (p *topics) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

func destination(t *testing.T, s string) *Destination {
	t.Helper()
	d, err := ParseDestination(s, "ns")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWordOfTheEndGoesToFunctionsAndTopics(t *testing.T) {
	type got struct{ host, path, body, kind, id, trace string }
	told := make(chan got, 2)
	p := &topics{}
	c := open(t, Options{Topics: p, Transport: handler(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Ce-Type") != "":
			told <- got{r.Host, r.URL.Path, text(r.Body), r.Header.Get("Ce-Type"), r.Header.Get("Ce-Subject"), r.Header.Get("Traceparent")}
		case r.Host == "bad.ns":
			http.Error(w, "no", http.StatusBadRequest)
		default:
			fmt.Fprint(w, "fine")
		}
	})})
	call := to("f")
	call.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	call.OnSuccess, call.OnFailure = destination(t, "function:after/done"), destination(t, "topic:never")
	id := accept(t, c, call)
	if g, want := <-told, (got{"after.ns.svc.cluster.local", "/done", "fine", "io.openfunction.call.succeeded", id, call.Header.Get("Traceparent")}); g != want {
		t.Errorf("the function was told %+v, want %+v", g, want)
	}
	eventually(t, "the record says so", func() bool { r := get(t, c, id); return r.Notice != nil && r.Notice.Sent && string(r.Body) == "fine" })
	bad := to("bad")
	bad.OnSuccess, bad.OnFailure = destination(t, "function:never"), destination(t, "topic:mine/failures")
	accept(t, c, bad)
	eventually(t, "the topic gets word", func() bool { return len(p.all()) == 1 })
	if want := "ns/minefailurestrueio.openfunction.call.failed400no\n"; p.all()[0] != want {
		t.Errorf("published %q, want %q", p.all()[0], want)
	}
}

func TestWebhookIsSignedAndTriedAgain(t *testing.T) {
	key, n := []byte("a key of thirty-two bytes length"), &counter{}
	bodies := make(chan *http.Request, 3)
	payload := make(chan []byte, 3)
	c := open(t, Options{
		Transport:  handler(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0}) }),
		SigningKey: func(_ context.Context, namespace string) ([]byte, error) { return key, nil },
		Callbacks: handler(func(w http.ResponseWriter, r *http.Request) {
			bodies <- r
			payload <- []byte(text(r.Body))
			if n.add() == 1 {
				w.WriteHeader(503)
			}
		}),
	})
	call := to("f")
	call.OnSuccess = destination(t, "https://example.org/hook?x=1")
	id := accept(t, c, call)
	var ids []string
	for range 2 {
		r, body := <-bodies, <-payload
		hook, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := hook.VerifyIgnoringTimestamp(body, r.Header); err != nil {
			t.Errorf("the signature: %v", err)
		}
		ids = append(ids, r.Header.Get(standardwebhooks.HeaderWebhookID))
		var w Webhook
		if err := json.Unmarshal(body, &w); err != nil || w.Type != "call.succeeded" || w.Data.ID != id || w.Data.Base64 != "/wA=" || r.URL.String() != call.OnSuccess.URL {
			t.Errorf("%s: %+v %v", r.URL, w, err)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("the ids of one webhook are %q", ids)
	}
	eventually(t, "it is noted", func() bool { r := get(t, c, id); return r.Notice.Sent && r.Notice.Attempts == 2 })
}

func TestWordThatNobodyTakesIsGivenUp(t *testing.T) {
	clock := newClock()
	p := &topics{fail: 100}
	h, _ := status(200)
	c := open(t, Options{Clock: clock, Topics: p, Transport: handler(h)})
	call := to("f")
	call.OnSuccess = destination(t, "topic:t")
	id := accept(t, c, call)
	for n := 1; n <= DefaultAttempts; n++ {
		eventually(t, "an attempt", func() bool { return get(t, c, id).Notice != nil && get(t, c, id).Notice.Attempts >= n })
		clock.advance(time.Minute)
	}
	if r := get(t, c, id); !r.Notice.GaveUp || r.Notice.Error == "" || r.State != Succeeded {
		t.Errorf("%+v %+v", r.Info, r.Notice)
	}
	eventually(t, "the request goes", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.use.bytes == 0 })
}

func TestWordIsDeliveredAfterARestart(t *testing.T) {
	js, p := openStore(t, t.TempDir()), &topics{fail: 1000}
	h, _ := status(200)
	o := Options{JetStream: js, Topics: p, Transport: handler(h), HostOf: func(n Name) string { return n.Name }}
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	call := to("f")
	call.OnSuccess = destination(t, "topic:t")
	id := accept(t, c, call)
	ended(t, c, id)
	shut(c)
	p.mu.Lock()
	p.fail = 0
	p.mu.Unlock()
	c = open(t, o)
	eventually(t, "word is delivered", func() bool { return len(p.all()) > 0 })
	eventually(t, "it is noted", func() bool { return get(t, c, id).Notice.Sent })
}
