package calls

import (
	"context"
	"testing"
	"time"
)

// The answer to a deletion may be lost: what is gone already must not keep the call, and all that are to be removed after it, for ever.
func TestADeletionWhoseAnswerWasLost(t *testing.T) {
	clock, js := newClock(), openStore(t, t.TempDir())
	h, _ := status(400)
	c := open(t, Options{JetStream: js, Clock: clock, Transport: handler(h), Retention: time.Hour})
	var ids []string
	for range 3 {
		id := accept(t, c, to("f"))
		ended(t, c, id)
		ids = append(ids, id)
		clock.advance(time.Second)
	}
	for _, id := range ids[:2] {
		c.mu.Lock()
		seq := c.index.calls[id].requestSeq
		c.mu.Unlock()
		if err := c.journal.requests.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Delete(t.Context(), ids[1]); err != nil {
		t.Errorf("a call whose request is gone already cannot be deleted: %v", err)
	}
	clock.advance(2 * time.Hour)
	eventually(t, "the calls are removed", func() bool {
		clock.advance(sweepEvery)
		p, err := c.List(Query{})
		return err == nil && len(p.Calls) == 0
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.use.bytes != 0 || c.use.ended != 0 {
		t.Errorf("%d bytes and %d calls are still counted", c.use.bytes, c.use.ended)
	}
}

// A change that was refused although it reached the disk: the call goes on from what is there.
func TestAChangeThatWasRefusedAndIsOnDisk(t *testing.T) {
	clock, bad := newClock(), &badStore{JetStream: openStore(t, t.TempDir()), fail: well}
	h, n := status(503)
	c := open(t, Options{JetStream: bad, Clock: clock, Transport: handler(h)})
	call := to("f")
	call.Policy = Policy{Attempts: 2, Initial: time.Minute, Max: time.Minute}
	id := accept(t, c, call)
	eventually(t, "it waits for its next attempt", func() bool { return get(t, c, id).State == Retrying })
	bad.set(func(string) (error, error) { return nil, context.DeadlineExceeded })
	wantErr(t, c.Cancel(t.Context(), id), ErrUnavailable)
	bad.set(well)
	eventually(t, "it ends", func() bool {
		clock.advance(time.Minute)
		p, err := c.List(Query{})
		return err == nil && len(p.Calls) == 1 && p.Calls[0].State.Ended()
	})
	if r := get(t, c, id); r.State != Cancelled || n.get() != 1 {
		t.Errorf("%+v after %d attempts", r.Info, n.get())
	}
	wantErr(t, c.Cancel(t.Context(), id), ErrFinished)
}

// The same for a call that is begun anew while word of its end is owed.
func TestARedriveThatWasRefusedAndIsOnDisk(t *testing.T) {
	clock, bad := newClock(), &badStore{JetStream: openStore(t, t.TempDir()), fail: well}
	h, n := status(400, 503, 503, 503, 200)
	c := open(t, Options{JetStream: bad, Clock: clock, Transport: handler(h), HostOf: func(n Name) string { return n.Name }})
	call := to("f")
	call.OnFailure = &Destination{Function: &Name{"ns", "g"}} // answers 503, so that word is owed
	id := accept(t, c, call)
	eventually(t, "word is owed", func() bool { r := get(t, c, id); return r.Notice != nil && r.Notice.Attempts > 0 })
	bad.set(func(string) (error, error) { return nil, context.DeadlineExceeded })
	eventually(t, "the call is not busy", func() bool { return c.Redrive(t.Context(), id) != nil })
	bad.set(well)
	eventually(t, "it is run again", func() bool {
		clock.advance(time.Minute)
		p, err := c.List(Query{})
		return err == nil && len(p.Calls) == 1 && p.Calls[0].State == Succeeded
	})
	if r := get(t, c, id); r.State != Succeeded || r.Redriven != 1 || n.get() < 3 {
		t.Errorf("%+v after %d attempts", r.Info, n.get())
	}
}

// And for one that nothing is owed of: whoever asks again is told what holds.
func TestARedriveThatWasRefusedIsAskedForAgain(t *testing.T) {
	bad := &badStore{JetStream: openStore(t, t.TempDir()), fail: well}
	h, n := status(400, 200)
	c := open(t, Options{JetStream: bad, Transport: handler(h)})
	id := accept(t, c, to("f"))
	ended(t, c, id)
	bad.set(func(string) (error, error) { return nil, context.DeadlineExceeded })
	wantErr(t, c.Redrive(t.Context(), id), ErrUnavailable)
	bad.set(well)
	if err := c.Redrive(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is run again", func() bool { return get(t, c, id).State == Succeeded })
	if r := get(t, c, id); r.Redriven != 1 || n.get() != 2 {
		t.Errorf("%+v after %d attempts", r.Info, n.get())
	}
}
