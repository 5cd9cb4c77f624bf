package trigger

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// Bounds of what waits for its counterparts, over all keys: beyond them the oldest groups are given up.
const (
	maxMembers = 8192
	maxBytes   = 32 << 20
	// DefaultWindow is how long a group waits.
	DefaultWindow = time.Minute
)

// CorrelatedType is the type of the event that a group of events becomes.
const CorrelatedType = "io.openfunction.correlated"

// Member is an event that may wait for others.
type Member struct {
	Sequence uint64
	Time     time.Time // when the bus took it
	Inputs   []string
	Event    cloudevent.Event
}

// Group is events that belong together, in the order of the bus.
type Group struct {
	Key     string
	Members []Member
}

// Outcome is what became of events. What is Done need not be kept any longer; a Fired group's events must be kept until the
// group was handled.
type Outcome struct {
	Fired   *Group
	Done    []uint64
	Expired int // how many of Done waited in vain
}

// Correlator gathers events by key until a condition holds of the inputs that are there. What it knows follows from the events
// that were added and are neither done nor fired: added again, they make the same groups. It serves one goroutine.
type Correlator struct {
	window    time.Duration
	all       bool
	key       *Key
	condition *Condition
	needed    []string

	groups  map[string]*open
	soonest time.Time // no group's time passes before
	members int
	bytes   int
}

type open struct {
	key     string
	until   time.Time
	members []Member
}

// NewCorrelator gathers for a subscriber. The inputs of its condition take part; all, if it names none.
func NewCorrelator(c event.Correlation, condition *Condition, inputs []string) (*Correlator, error) {
	key, err := CompileKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("correlate.%w", err)
	}
	n := &Correlator{window: c.Window, all: c.All, key: key, condition: condition, needed: condition.Inputs(), groups: map[string]*open{}}
	if n.window <= 0 {
		n.window = DefaultWindow
	}
	if len(n.needed) == 0 {
		n.needed = slices.Sorted(slices.Values(inputs))
	}
	return n, nil
}

// Add takes an event in. An error is of its key: the event belongs nowhere, and is done.
func (n *Correlator) Add(m Member) (Outcome, error) {
	out := n.expire(m.Time)
	m.Inputs = slices.DeleteFunc(slices.Clone(m.Inputs), func(in string) bool { return !slices.Contains(n.needed, in) })
	view := NewView(m.Event)
	key, err := n.key.Of(view)
	if err != nil || len(m.Inputs) == 0 {
		out.Done = append(out.Done, m.Sequence)
		return out, err
	}
	g := n.groups[key]
	if g == nil {
		g = &open{key: key, until: m.Time.Add(n.window)}
		n.groups[key] = g
		if len(n.groups) == 1 || g.until.Before(n.soonest) {
			n.soonest = g.until
		}
	}
	if !n.all {
		out.Done = append(out.Done, n.supersede(g, m)...)
	}
	n.put(g, m)
	holds, err := n.holds(g, view)
	if err != nil {
		return out, err
	}
	if holds {
		n.remove(g)
		out.Fired = &Group{Key: g.key, Members: g.members}
		return out, nil
	}
	for n.members > maxMembers || n.bytes > maxBytes {
		oldest := n.oldest()
		n.drop(oldest, &out)
	}
	return out, nil
}

func (n *Correlator) put(g *open, m Member) {
	at, found := slices.BinarySearchFunc(g.members, m.Sequence, func(have Member, seq uint64) int { return cmp.Compare(have.Sequence, seq) })
	if found {
		return
	}
	g.members = slices.Insert(g.members, at, m)
	n.members++
	n.bytes += len(m.Event.Data)
}

// supersede takes out the events whose inputs all have a newer one.
func (n *Correlator) supersede(g *open, m Member) (done []uint64) {
	g.members = slices.DeleteFunc(g.members, func(old Member) bool {
		if old.Sequence >= m.Sequence || slices.ContainsFunc(old.Inputs, func(in string) bool { return !slices.Contains(m.Inputs, in) }) {
			return false
		}
		n.members--
		n.bytes -= len(old.Event.Data)
		done = append(done, old.Sequence)
		return true
	})
	return done
}

func (n *Correlator) holds(g *open, newest *View) (bool, error) {
	there := func(input string) bool {
		return slices.ContainsFunc(g.members, func(m Member) bool { return slices.Contains(m.Inputs, input) })
	}
	if len(n.condition.Inputs()) == 0 && slices.ContainsFunc(n.needed, func(in string) bool { return !there(in) }) {
		return false, nil
	}
	return n.condition.Holds(newest, there)
}

// Expire gives up the groups whose time has passed.
func (n *Correlator) Expire(now time.Time) Outcome { return n.expire(now) }

// Next is when Expire is to be called; false when no group waits.
func (n *Correlator) Next() (time.Time, bool) { return n.soonest, len(n.groups) > 0 }

func (n *Correlator) expire(now time.Time) (out Outcome) {
	if len(n.groups) == 0 || !now.After(n.soonest) {
		return out
	}
	for _, g := range n.groups {
		if now.After(g.until) {
			n.drop(g, &out)
		}
	}
	if g := n.oldest(); g != nil {
		n.soonest = g.until
	}
	slices.Sort(out.Done)
	return out
}

func (n *Correlator) drop(g *open, out *Outcome) {
	n.remove(g)
	for _, m := range g.members {
		out.Done = append(out.Done, m.Sequence)
		out.Expired++
	}
}

func (n *Correlator) remove(g *open) {
	delete(n.groups, g.key)
	n.members -= len(g.members)
	for _, m := range g.members {
		n.bytes -= len(m.Event.Data)
	}
}

func (n *Correlator) oldest() *open {
	var first *open
	for _, g := range n.groups {
		if first == nil || g.until.Before(first.until) {
			first = g
		}
	}
	return first
}

// Event is one event with all of the group in its data: {"INPUT": event in the JSON format}, or a list of them where all are
// kept. The same group has the same id.
func (g *Group) Event(trigger event.Name, all bool) (cloudevent.Event, error) {
	data, id := map[string]any{}, sha256.New()
	newest := g.Members[len(g.Members)-1]
	for _, m := range g.Members {
		text, err := m.Event.JSON()
		if err != nil {
			return cloudevent.Event{}, fmt.Errorf("event %s of a correlation: %w", m.Event.ID, err)
		}
		fmt.Fprintf(id, "%s\x00", m.Event.DedupeID())
		for _, in := range m.Inputs {
			if !all {
				data[in] = json.RawMessage(text)
				continue
			}
			list, _ := data[in].([]json.RawMessage)
			data[in] = append(list, text)
		}
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return cloudevent.Event{}, fmt.Errorf("events of a correlation: %w", err)
	}
	e := cloudevent.Event{
		ID: hex.EncodeToString(id.Sum(nil)[:16]), Source: "/namespaces/" + trigger.Namespace + "/triggers/" + trigger.Name,
		Type: CorrelatedType, Time: newest.Time, DataContentType: "application/json", Data: bytes.TrimSpace(body.Bytes()),
	}
	for _, name := range []string{cloudevent.TraceParent, cloudevent.TraceState} {
		e.SetExtension(name, newest.Event.Extension(name))
	}
	e.SetExtension(cloudevent.PartitionKey, g.Key)
	return e, nil
}
