package calls

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFunctionGetsTheRequestAndItsAnswerIsKept(t *testing.T) {
	c := open(t, Options{Transport: handler(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Answer", "\xe4 b")
		w.Header().Set("Connection", "close")
		w.WriteHeader(201)
		fmt.Fprintf(w, "%s %s %s %q %s %s %s", r.Method, r.Host, r.URL.RequestURI(), r.Header["X-A"], text(r.Body), r.Header.Get(HeaderAttempt), r.Header.Get(HeaderID))
	})})
	id := accept(t, c, to("f"))
	r := ended(t, c, id)
	want := `POST f.ns /p?q=1 ["1" "2"] body of f 1 ` + id
	if r.State != Succeeded || r.Status != 201 || string(r.Body) != want || r.Header.Get("X-Answer") != "\xe4 b" || r.Header.Get("Connection") != "" || r.Count != 1 {
		t.Errorf("got %+v %q %v", r.Info, r.Body, r.Header)
	}
	eventually(t, "the request of a success is removed", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.use.bytes == 0 })
	if _, err := c.Get(t.Context(), "unknown"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestAnswersDecideWhatBecomesOfACall(t *testing.T) {
	for name, tc := range map[string]struct {
		codes    []int
		retry    Statuses
		state    State
		attempts int
	}{
		"success":              {[]int{200}, nil, Succeeded, 1},
		"a redirect is one":    {[]int{303}, nil, Succeeded, 1},
		"no answer to repeat":  {[]int{400}, nil, Failed, 1},
		"better the next time": {[]int{503, 429, 200}, nil, Succeeded, 3},
		"not there yet":        {[]int{404, 200}, nil, Succeeded, 2},
		"never":                {[]int{500}, nil, DeadLettered, 3},
		"then refused":         {[]int{500, 401}, nil, Failed, 2},
		"own statuses":         {[]int{418, 500}, Statuses{418}, Failed, 2},
		"no statuses":          {[]int{503}, Statuses{}, Failed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h, n := status(tc.codes...)
			c := open(t, Options{Transport: handler(h)})
			call := to("f")
			call.Policy.Retry = tc.retry
			r := ended(t, c, accept(t, c, call))
			last := tc.codes[min(tc.attempts, len(tc.codes))-1]
			if r.State != tc.state || r.Count != tc.attempts || n.get() != tc.attempts || r.Status != last || len(r.Attempts) != tc.attempts {
				t.Errorf("%+v after %d calls of the function", r.Info, n.get())
			}
			if (r.Reason == "") != (r.State == Succeeded) {
				t.Errorf("reason %q of %s", r.Reason, r.State)
			}
		})
	}
}

func TestNetworkErrorsAndBrokenAnswersAreTriedAgain(t *testing.T) {
	n := &counter{}
	c := open(t, Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
		switch n.add() {
		case 1:
			return nil, errors.New("no route to host")
		case 2:
			return &http.Response{StatusCode: 200, Body: broken{}}, nil
		}
		return handler(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })(r)
	})})
	r := ended(t, c, accept(t, c, to("f")))
	if r.State != Succeeded || r.Count != 3 || !strings.Contains(r.Attempts[0].Error, "no route") || !strings.Contains(r.Attempts[1].Error, "broke") {
		t.Errorf("%+v", r.Info)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("it broke off") }
func (broken) Close() error             { return nil }

func TestWaitsFollowPolicyAndRetryAfter(t *testing.T) {
	clock, n := newClock(), &counter{}
	c := open(t, Options{Clock: clock, Transport: handler(func(w http.ResponseWriter, _ *http.Request) {
		if n.add() == 2 {
			w.Header().Set("Retry-After", "90")
		}
		w.WriteHeader(503)
	})})
	call := to("f")
	call.Policy = Policy{Attempts: 3, Initial: 10 * time.Second, Max: time.Minute}
	id := accept(t, c, call)
	retrying := func(attempts int) time.Duration {
		eventually(t, "an attempt", func() bool { r := get(t, c, id); return r.Count == attempts && r.State == Retrying })
		return get(t, c, id).Due.Sub(clock.Now())
	}
	if d := retrying(1); d < 7*time.Second || d > 13*time.Second {
		t.Errorf("waits %s after the first attempt, want about 10 s", d)
	}
	clock.advance(14 * time.Second)
	if d := retrying(2); d != 90*time.Second {
		t.Errorf("waits %s, although the answer asks for 90 s", d)
	}
	clock.advance(89 * time.Second)
	if r := get(t, c, id); r.Count != 2 {
		t.Errorf("%d attempts before the time", r.Count)
	}
	clock.advance(time.Second)
	if r := ended(t, c, id); r.State != DeadLettered {
		t.Errorf("%+v", r.Info)
	}
}

func TestStartAndAge(t *testing.T) {
	clock := newClock()
	h, n := status(200)
	c := open(t, Options{Clock: clock, Transport: handler(h)})
	call := to("f")
	call.NotBefore, call.MaxAge = clock.Now().Add(time.Hour), time.Minute
	id := accept(t, c, call)
	if r := get(t, c, id); r.State != Scheduled {
		t.Errorf("%+v", r.Info)
	}
	clock.advance(59 * time.Minute)
	if n.get() != 0 {
		t.Error("it ran before its time")
	}
	clock.advance(time.Minute)
	if r := ended(t, c, id); r.State != Succeeded {
		t.Errorf("%+v", r.Info)
	}
}

func TestTooOldIsNotBegun(t *testing.T) {
	clock, gate := newClock(), make(chan struct{})
	c := open(t, Options{Clock: clock, PerFunction: 1, Transport: handler(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
		case <-r.Context().Done():
		}
	})})
	first := accept(t, c, to("f"))
	call := to("f")
	call.MaxAge = time.Second
	late := accept(t, c, call)
	clock.advance(2 * time.Second)
	close(gate)
	if r := ended(t, c, late); r.State != DeadLettered || r.Count != 0 || !strings.Contains(r.Reason, "maximum age") {
		t.Errorf("%+v", r.Info)
	}
	ended(t, c, first)
}

func TestDeadlineEndsAnAttempt(t *testing.T) {
	clock, began := newClock(), make(chan struct{}, 2)
	c := open(t, Options{Clock: clock, Transport: handler(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done() // answers too late
	})})
	call := to("f")
	call.Policy.Attempts, call.Deadline = 1, time.Second
	id := accept(t, c, call)
	<-began
	clock.advance(time.Second)
	if r := ended(t, c, id); r.State != DeadLettered || r.Attempts[0].Error != errDeadline.Error() || r.Status != 0 {
		t.Errorf("%+v", r.Info)
	}
}

func TestIdempotencyKey(t *testing.T) {
	clock := newClock()
	h, _ := status(200)
	c := open(t, Options{Clock: clock, Transport: handler(h), KeyWindow: time.Hour})
	call := to("f")
	call.Key = "k"
	ids := make([]string, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			a, err := c.Accept(t.Context(), call)
			if err != nil {
				t.Error(err)
			}
			ids[i] = a.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("calls of one key are %q", ids)
		}
	}
	ended(t, c, ids[0])
	if a, err := c.Accept(t.Context(), call); err != nil || a.ID != ids[0] || !a.Repeated || a.State != Succeeded {
		t.Errorf("after the end: %+v %v", a, err)
	}
	other := call
	other.Body = []byte("another")
	_, err := c.Accept(t.Context(), other)
	wantErr(t, err, ErrKeyReused)
	elsewhere := to("g")
	elsewhere.Key = "k"
	if id := accept(t, c, elsewhere); id == ids[0] {
		t.Error("another function's call has the same key and the same id")
	}
	clock.advance(time.Hour + time.Second)
	if a, err := c.Accept(t.Context(), other); err != nil || a.Repeated {
		t.Errorf("after the window: %+v %v", a, err)
	}
}

func TestCancel(t *testing.T) {
	began := make(chan struct{})
	c := open(t, Options{PerFunction: 1, Transport: handler(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
	})})
	runs := accept(t, c, to("f"))
	<-began
	waits := accept(t, c, to("f"))
	for _, id := range []string{waits, runs} {
		if err := c.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if r := get(t, c, id); r.State != Cancelled {
			t.Errorf("%+v", r.Info)
		}
	}
	wantErr(t, c.Cancel(t.Context(), runs), ErrFinished)
	wantErr(t, c.Cancel(t.Context(), "unknown"), ErrNotFound)
	if c.Lag(Name{}) != 0 {
		t.Errorf("%d wait", c.Lag(Name{}))
	}
}

func TestRedrive(t *testing.T) {
	h, n := status(500, 500, 500, 200)
	c := open(t, Options{Transport: handler(h)})
	id := accept(t, c, to("f"))
	wantErr(t, c.Redrive(t.Context(), "unknown"), ErrNotFound)
	if r := ended(t, c, id); r.State != DeadLettered || !r.Replayable {
		t.Fatalf("%+v", r.Info)
	}
	if err := c.Redrive(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the call succeeds", func() bool { return get(t, c, id).State == Succeeded })
	if r := get(t, c, id); r.Redriven != 1 || r.Count != 4 || n.get() != 4 || r.Replayable {
		t.Errorf("%+v", r.Info)
	}
	wantErr(t, c.Redrive(t.Context(), id), ErrFinished)
	if err := c.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestOneFunctionDoesNotBlockAnother(t *testing.T) {
	gate := make(chan struct{})
	var running, most counter
	c := open(t, Options{PerFunction: 2, Concurrent: 4, Transport: handler(func(_ http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "slow") {
			return
		}
		if n := running.add(); n > 2 {
			most.add()
		}
		<-gate
	})})
	var slow []string
	for range 10 {
		slow = append(slow, accept(t, c, to("slow")))
	}
	for range 10 {
		ended(t, c, accept(t, c, to("quick")))
	}
	if running.get() != 2 || most.get() != 0 {
		t.Errorf("%d calls of the slow function run", running.get())
	}
	close(gate)
	for _, id := range slow {
		ended(t, c, id)
	}
}

func TestLimits(t *testing.T) {
	gate := make(chan struct{})
	hang := handler(func(http.ResponseWriter, *http.Request) { <-gate })
	c := open(t, Options{Transport: hang, MaxWaiting: 3, MaxPerFunction: 2, MaxBody: 1000, MaxBytes: 1500})
	t.Cleanup(func() { close(gate) })
	refuse := func(call Call, want error) {
		t.Helper()
		_, err := c.Accept(t.Context(), call)
		wantErr(t, err, want)
	}
	big := to("f")
	big.Body = make([]byte, 1001)
	refuse(big, ErrTooLarge)
	accept(t, c, to("f"))
	accept(t, c, to("f"))
	refuse(to("f"), ErrFull)
	big = to("g")
	big.Body = make([]byte, 1000)
	accept(t, c, big)
	refuse(to("h"), ErrFull)
	if n := c.Lag(Name{"ns", "f"}); n != 2 {
		t.Errorf("%d calls of f wait, refused ones included", n)
	}
	invalid := to("f")
	invalid.OnSuccess = &Destination{URL: "https://example.org/"}
	refuse(invalid, ErrInvalid) // there are no callbacks
}

func TestFullDiskRefusesAndKeepsNothing(t *testing.T) {
	full := errors.New("full")
	js := openStore(t, t.TempDir())
	h, n := status(200)
	c := open(t, Options{JetStream: js, Transport: handler(h), Room: func() error { return full }})
	_, err := c.Accept(t.Context(), to("f"))
	wantErr(t, err, ErrUnavailable)
	full = nil
	ended(t, c, accept(t, c, to("f")))
	if n.get() != 1 || c.Lag(Name{}) != 0 {
		t.Errorf("%d calls were run, %d wait", n.get(), c.Lag(Name{}))
	}
}

func TestEverythingIsThereAfterARestart(t *testing.T) {
	js, clock := openStore(t, t.TempDir()), newClock()
	var down sync.Map
	h := handler(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "hang") {
			if _, again := down.LoadOrStore("hang", true); !again {
				<-r.Context().Done()
				return
			}
		}
		if strings.HasPrefix(r.Host, "bad") {
			w.WriteHeader(400)
		}
		fmt.Fprint(w, "answer "+r.Header.Get(HeaderAttempt))
	})
	o := Options{JetStream: js, Clock: clock, Transport: h, HostOf: func(n Name) string { return n.Name }}
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	keyed := to("good")
	keyed.Key = "k"
	good, bad, hang := accept(t, c, keyed), accept(t, c, to("bad")), accept(t, c, to("hang"))
	later := to("later")
	later.NotBefore = clock.Now().Add(time.Hour)
	scheduled := accept(t, c, later)
	ended(t, c, good)
	ended(t, c, bad)
	eventually(t, "the hanging call runs", func() bool { return get(t, c, hang).State == Running })
	shut(c)
	c = open(t, o)
	if r := ended(t, c, hang); r.State != Succeeded || string(r.Body) != "answer 2" || !strings.Contains(r.Attempts[0].Error, "interrupted") {
		t.Errorf("the interrupted call: %+v %s", r.Info, r.Body)
	}
	if r := get(t, c, good); r.State != Succeeded || string(r.Body) != "answer 1" {
		t.Errorf("%+v", r.Info)
	}
	if r := get(t, c, bad); r.State != Failed || !r.Replayable {
		t.Errorf("%+v", r.Info)
	}
	if r := get(t, c, scheduled); r.State != Scheduled {
		t.Errorf("%+v", r.Info)
	}
	if a, err := c.Accept(t.Context(), keyed); err != nil || a.ID != good {
		t.Errorf("the key is forgotten: %+v %v", a, err)
	}
	if c.Lag(Name{}) != 1 {
		t.Errorf("%d wait, want the scheduled one", c.Lag(Name{}))
	}
	clock.advance(time.Hour)
	ended(t, c, scheduled)
}
