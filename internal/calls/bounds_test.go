package calls

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The store never takes a record of more than 64 KiB: what would be tried again for ever, with a slot in its hands, is refused or
// left out.
func TestRecordsStaySmall(t *testing.T) {
	c := open(t, Options{Transport: handler(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", strings.Repeat("x", 70_000))
		w.WriteHeader(201)
	})})
	call := to("f")
	call.Header.Set("Tracestate", strings.Repeat(`"`, 32_000))
	r := ended(t, c, accept(t, c, call))
	if r.State != Succeeded || r.Status != 201 || r.Header.Get("Content-Type") != "" {
		t.Errorf("%+v", r.Info)
	}
	call = to("f")
	odd := "/" + strings.Repeat("\x80", 4000)
	call.Path, call.OnFailure = odd, &Destination{Function: &Name{"ns", "g"}, Path: odd}
	_, err := c.Accept(t.Context(), call)
	wantErr(t, err, ErrTooLarge)
	if n := c.Lag(Name{}); n != 0 {
		t.Errorf("%d calls wait", n)
	}
}

// Two callers that know the same key are not shown one another's answers.
func TestAKeyIsOfItsCaller(t *testing.T) {
	h, _ := status(200)
	c := open(t, Options{Transport: handler(h)})
	for _, header := range []string{"Authorization", "Cookie"} {
		one := to("f")
		one.Key = header
		one.Header.Set(header, "a")
		accept(t, c, one)
		two := to("f")
		two.Key = header
		two.Header.Set(header, "b")
		_, err := c.Accept(t.Context(), two)
		wantErr(t, err, ErrKeyReused)
	}
}

// A retry that was planned while the clock was wrong does not wait for that time.
func TestAClockThatWasWrong(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	js, stop, err := startStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	clock.now = clock.now.AddDate(70, 0, 0)
	h, n := status(500)
	c, err := Open(t.Context(), Options{JetStream: js, Clock: clock, Transport: handler(h)})
	if err != nil {
		t.Fatal(err)
	}
	id := accept(t, c, to("f"))
	eventually(t, "an attempt", func() bool { return get(t, c, id).State == Retrying })
	shut(c)
	stop()
	clock.now = clock.now.AddDate(-70, 0, 0)
	h, _ = status(200)
	c = open(t, Options{JetStream: openStore(t, dir), Clock: clock, Transport: handler(h)})
	clock.advance(time.Hour)
	if r := ended(t, c, id); r.State != Succeeded || n.get() != 1 {
		t.Errorf("%+v after %d attempts", r.Info, n.get())
	}
}
