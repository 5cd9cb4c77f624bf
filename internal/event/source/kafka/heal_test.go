package kafka

import (
	"context"
	"errors"
	"testing"

	"github.com/IBM/sarama"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// round is a round of balance with one partition.
type round struct {
	sarama.ConsumerGroupSession
	sarama.ConsumerGroupClaim
	ctx      context.Context
	messages chan *sarama.ConsumerMessage
}

func (r *round) Context() context.Context                    { return r.ctx }
func (r *round) MarkMessage(*sarama.ConsumerMessage, string) {}
func (r *round) HighWaterMarkOffset() int64                  { return 1 }
func (r *round) Messages() <-chan *sarama.ConsumerMessage    { return r.messages }

// A partition whose leader was away is read again without a new round: the source is well then, and says so.
func TestTroubleThatMendsItself(t *testing.T) {
	state := ""
	h := &handler{group: &group{id: source.Identity{Namespace: "ns", Name: "es", Event: "ev", Kind: "kafka"}}, behind: map[string]int64{}, out: source.Out{
		Emit:      func(context.Context, cloudevent.Event) error { return nil },
		Connected: func() { state = "well" }, Trouble: func(err error) { state = err.Error() },
	}}
	h.trouble(errors.New("the leader is away"))
	if state != "the leader is away" {
		t.Fatal(state)
	}
	r := &round{ctx: t.Context(), messages: make(chan *sarama.ConsumerMessage, 1)}
	r.messages <- &sarama.ConsumerMessage{Topic: "t", Value: []byte("x")}
	close(r.messages)
	if err := h.ConsumeClaim(r, r); err != nil || state != "well" {
		t.Errorf("%v, it says that %s", err, state)
	}
}
