package trigger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestHistory(t *testing.T) {
	h := NewHistory()
	h.Add(1, noon, []string{"a"})
	h.Add(5, noon.Add(30*time.Second), []string{"b"})
	h.Add(9, noon.Add(70*time.Second), []string{"a", "c"})
	h.Add(5, noon, []string{"c"}) // told again
	for _, c := range []struct {
		seq  uint64
		at   time.Duration
		want string
	}{
		{1, 0, "a"},
		{3, 20 * time.Second, "a"},
		{5, 30 * time.Second, "a b"},
		{7, 59 * time.Second, "a b"},
		{8, 61 * time.Second, "b"},
		{9, 70 * time.Second, "a b c"},
		{10, 95 * time.Second, "a c"},
		{11, 3 * time.Minute, ""},
	} {
		at := h.At(c.seq, noon.Add(c.at))
		var hot []string
		for _, in := range []string{"a", "b", "c", "unknown"} {
			if at(in) {
				hot = append(hot, in)
			}
		}
		if got := strings.Join(hot, " "); got != c.want {
			t.Errorf("at %d, %s: %q, want %q", c.seq, c.at, got, c.want)
		}
	}
	h.Forget(noon.Add(75 * time.Second))
	if h.Len() != 3 || h.Reached() != 9 {
		t.Errorf("after forgetting: %d, %d", h.Len(), h.Reached())
	}
	if at := h.At(10, noon.Add(80*time.Second)); !at("a") || !at("b") {
		t.Error("forgot too much")
	}
}

func member(seq uint64, after time.Duration, key string, inputs ...string) Member {
	return Member{Sequence: seq, Time: noon.Add(after), Inputs: inputs, Event: cloudevent.Event{
		ID: fmt.Sprint(seq), Source: "/s", Type: "t", DataContentType: "application/json", Data: fmt.Appendf(nil, `{"key":%q,"seq":%d}`, key, seq),
	}}
}

func correlator(t *testing.T, c event.Correlation, condition string) *Correlator {
	t.Helper()
	inputs := []string{"a", "b", "c"}
	cond, err := Compile(inputs, condition)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewCorrelator(c, cond, inputs)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCorrelation(t *testing.T) {
	byKey := event.Correlation{Key: "data.key"}
	for name, c := range map[string]struct {
		how       event.Correlation
		condition string
		add       []Member
		fired     []string // sequences of each group
		done      []uint64
	}{
		"all inputs by default":    {byKey, "", []Member{member(1, 0, "x", "a"), member(2, 1, "x", "b"), member(3, 2, "y", "c"), member(4, 3, "x", "c")}, []string{"1 2 4"}, nil},
		"keys apart":               {byKey, "a && b", []Member{member(1, 0, "x", "a"), member(2, 1, "y", "b"), member(3, 2, "y", "a"), member(4, 3, "x", "b")}, []string{"2 3", "1 4"}, nil},
		"the newest of an input":   {byKey, "a && b", []Member{member(1, 0, "x", "a"), member(2, 1, "x", "a"), member(3, 2, "x", "b")}, []string{"2 3"}, []uint64{1}},
		"all of an input":          {event.Correlation{Key: "data.key", All: true}, "a && b", []Member{member(1, 0, "x", "a"), member(2, 1, "x", "a"), member(3, 2, "x", "b")}, []string{"1 2 3"}, nil},
		"a group is used once":     {byKey, "a && b", []Member{member(1, 0, "x", "a"), member(2, 1, "x", "b"), member(3, 2, "x", "b")}, []string{"1 2"}, nil},
		"inputs that take no part": {byKey, "a && b", []Member{member(1, 0, "x", "c"), member(2, 1, "x", "b")}, nil, []uint64{1}},
		"too late":                 {byKey, "a && b", []Member{member(1, 0, "x", "a"), member(2, 61*time.Second, "x", "b")}, nil, []uint64{1}},
		"a window of its own":      {event.Correlation{Key: "data.key", Window: time.Hour}, "a && b", []Member{member(1, 0, "x", "a"), member(2, 59*time.Minute, "x", "b")}, []string{"1 2"}, nil},
		"or":                       {byKey, "a && (b || c)", []Member{member(1, 0, "x", "b"), member(2, 0, "x", "c"), member(3, 0, "x", "a")}, []string{"1 2 3"}, nil},
		"data":                     {event.Correlation{}, "a && b && data.seq > 2", []Member{member(1, 0, "x", "a"), member(2, 1, "y", "b"), member(3, 1, "y", "b")}, []string{"1 3"}, []uint64{2}},
		"one event of two inputs":  {byKey, "a && b", []Member{member(1, 0, "x", "a", "b")}, []string{"1"}, nil},
		"the same event twice":     {event.Correlation{All: true}, "a && b", []Member{member(1, 0, "x", "a"), member(1, 0, "x", "a"), member(2, 0, "x", "b")}, []string{"1 2"}, nil},
	} {
		n := correlator(t, c.how, c.condition)
		var fired []string
		var done []uint64
		for _, m := range c.add {
			out, err := n.Add(m)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			done = append(done, out.Done...)
			if out.Fired != nil {
				var seqs []string
				for _, m := range out.Fired.Members {
					seqs = append(seqs, fmt.Sprint(m.Sequence))
				}
				fired = append(fired, strings.Join(seqs, " "))
			}
		}
		if !slices.Equal(fired, c.fired) || !slices.Equal(done, c.done) {
			t.Errorf("%s: fired %q, done %v", name, fired, done)
		}
	}
}

func TestCorrelationGivesUp(t *testing.T) {
	n := correlator(t, event.Correlation{Key: "data.key"}, "a && b")
	if _, waits := n.Next(); waits {
		t.Error("waits for nothing")
	}
	for i := range uint64(3) {
		if _, err := n.Add(member(i+1, time.Duration(i)*time.Second, fmt.Sprint(i), "a")); err != nil {
			t.Fatal(err)
		}
	}
	if at, waits := n.Next(); !waits || !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("the next ends at %s", at)
	}
	if out := n.Expire(noon.Add(61500 * time.Millisecond)); !slices.Equal(out.Done, []uint64{1, 2}) || out.Expired != 2 {
		t.Errorf("given up: %+v", out)
	}
	if at, _ := n.Next(); !at.Equal(noon.Add(62 * time.Second)) {
		t.Errorf("the next ends at %s", at)
	}
	out, err := n.Add(member(9, 0, "no key", "a"))
	if err != nil || out.Fired != nil {
		t.Errorf("%+v %v", out, err)
	}
	bad := member(10, 0, "", "a")
	bad.Event.Data = []byte(`[]`)
	if out, err := n.Add(bad); err == nil || !slices.Equal(out.Done, []uint64{10}) {
		t.Errorf("an event without the key: %+v %v", out, err)
	}
}

func TestCorrelationIsBounded(t *testing.T) {
	n := correlator(t, event.Correlation{Key: "data.key"}, "a && b")
	expired := 0
	for i := range uint64(maxMembers + 100) {
		out, err := n.Add(member(i+1, time.Duration(i), fmt.Sprint(i), "a"))
		if err != nil {
			t.Fatal(err)
		}
		expired += out.Expired
	}
	if expired != 100 || n.members != maxMembers {
		t.Errorf("%d given up, %d wait", expired, n.members)
	}
}

func TestCorrelatedEvent(t *testing.T) {
	one, two := member(1, 0, "x", "a"), member(2, time.Second, "x", "b")
	two.Event.SetExtension(cloudevent.TraceParent, "00-1-2-01")
	g := Group{Key: "x", Members: []Member{one, two}}
	e, err := g.Event(event.Name{Namespace: "ns", Name: "tr"}, false)
	if err != nil || e.Validate() != nil {
		t.Fatal(err, e.Validate())
	}
	cond, err := Compile(nil, "data.a.data.seq == 1 && data.b.id == '2' && event.partitionkey == 'x' && event.traceparent != ''")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := cond.Holds(NewView(e), nil); !ok || err != nil {
		t.Errorf("%s: %v", e.Data, err)
	}
	if again, _ := g.Event(event.Name{Namespace: "ns", Name: "tr"}, true); again.ID != e.ID || !strings.HasPrefix(string(again.Data), `{"a":[{`) {
		t.Errorf("all: %s %s", again.ID, again.Data)
	}
}
