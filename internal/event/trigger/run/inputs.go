package run

import (
	"strconv"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/trigger"
)

// inputs are a trigger's.
type inputs struct {
	names  []string
	topics map[string][]input
}

type input struct {
	name   string
	filter *trigger.Filter
}

func (in *inputs) list() []string {
	topics := make([]string, 0, len(in.topics))
	for t := range in.topics {
		topics = append(topics, t)
	}
	return topics
}

// of tells which inputs an event is of. An error is of the filters that could not be applied: the event is not of theirs.
func (in *inputs) of(topic string, e *cloudevent.Event) (names []string, err error) {
	for _, i := range in.topics[topic] {
		ok, problem := i.filter.Passes(e)
		if problem != nil {
			err = problem
		}
		if ok {
			names = append(names, i.name)
		}
	}
	return names, err
}

// read gives the event of a message. What somebody put on the bus that is no CloudEvent, or a broken one, becomes one: it was
// accepted, and must end somewhere.
func read(m bus.Stored, on event.Name) cloudevent.Event {
	e, found, err := cloudevent.FromHeader(m.Header, m.Data)
	if found && err == nil {
		return e
	}
	e = cloudevent.Event{
		ID: m.ID, Source: "/namespaces/" + on.Namespace + "/eventbuses/" + on.Name, Type: "io.openfunction.message", Time: m.Time,
		Data: m.Data, DataContentType: m.Header["content-type"],
	}
	if e.ID == "" {
		e.ID = strconv.FormatUint(m.Sequence, 10)
	}
	e.SetExtension(cloudevent.PartitionKey, m.Key)
	if e.Validate() != nil { // an id or key that no attribute can hold
		e.ID, e.Extensions, e.DataContentType = strconv.FormatUint(m.Sequence, 10), nil, ""
	}
	return e
}
