// Package bus is the seam of event buses: where events wait, on disk, until they were handled. The siblings are jetstream
// (embedded or external NATS) and dapr (any pub/sub component); bustest is the suite both must pass.
package bus

import (
	"context"
	"errors"
	"time"
)

// What buses answer.
var (
	ErrTooLarge    = errors.New("the event is larger than the bus takes")
	ErrFull        = errors.New("the bus is full")
	ErrUnsupported = errors.New("this bus cannot do that")
)

// Message is one event on a bus: header and data of a CloudEvent in binary mode.
type Message struct {
	Topic  string
	ID     string // of a topic, messages with the same ID within the bus's window are taken once; empty is never a duplicate
	Key    string // messages of one key are delivered in order to ordered consumers; empty is no order
	Header map[string]string
	Data   []byte
}

// Stored is a message with its place on the bus.
type Stored struct {
	Message
	Sequence uint64 // increasing within a bus; 0 where the bus has none
	Time     time.Time
	Attempt  int // 1 for the first delivery
}

// Receipt tells of a message that is on disk.
type Receipt struct {
	Sequence  uint64
	Duplicate bool
}

// From says where a new consumer, or a reader, begins.
type From struct {
	All      bool
	Sequence uint64
	Time     time.Time
} // the zero From is "what comes from now on"

// Consumer describes a durable subscription. The same Name goes on where it was.
type Consumer struct {
	Name        string
	Topics      []string
	From        From          // looked at when Name is new
	Concurrency int           // handlers at once; 0 is 1
	Ordered     bool          // one message of a key at a time, in order
	AckWait     time.Duration // a message whose handler did not end comes again; extended while a handler runs. 0 is 30 s
	// Shared says that several processes use the name at the same time: each takes only what its handlers begin at once, and what one of
	// them had taken when it died comes again after AckWait, not before. Not with Ordered. Buses that cannot know may ignore it.
	Shared bool
}

// Verdict is what a handler says of a message.
type Verdict struct {
	Retry bool          // false: it is done
	After time.Duration // wait before the next delivery
}

// Handler handles one message. It is called again for a message whose platform died before the verdict was kept.
type Handler func(ctx context.Context, m Stored) Verdict

// Bus is one bus.
type Bus interface {
	// Publish returns when the message is durable.
	Publish(ctx context.Context, m Message) (Receipt, error)
	// Consume calls handle until ctx ends, and returns after the last handler. It survives the loss of its broker.
	Consume(ctx context.Context, c Consumer, handle Handler) error
	// Forget deletes a consumer; unknown ones are no error.
	Forget(ctx context.Context, name string) error
	// Lag is how many messages wait for a consumer, those under way included. ErrUnsupported where the bus cannot know.
	Lag(ctx context.Context, consumer string) (int64, error)
	// Read shows what the bus keeps of topics ("*" is all), without consuming it; it ends at what was newest when called unless
	// follow is set. each may return an error to end.
	Read(ctx context.Context, topics []string, from From, follow bool, each func(Stored) error) error
	// Close gives back what the bus holds. Consumers must have ended.
	Close() error
}

// Holder is a bus whose events may wait long for their verdict: for those who gather several before anything is done.
type Holder interface {
	// Hold hands out events one after the other, in the order they come, and does not wait for the verdict of one before the
	// next. take is called by one goroutine. answer may be called once, by any; after the end of Hold it does nothing, and the
	// event comes again. Concurrency is how many events may be without verdict; 0 is what the bus thinks right.
	Hold(ctx context.Context, c Consumer, take func(m Stored, answer func(Verdict))) error
}

// Lister is a bus that knows its consumers.
type Lister interface {
	// Consumers are the names that Consume was called with and Forget was not.
	Consumers(ctx context.Context) ([]string, error)
}

// Heir is a bus on which one consumer can go on where another stopped.
type Heir interface {
	// Inherit lets c, if it is new, begin with the first event that former has not handled. Some of those after it may have been
	// handled too. former is as before; without it nothing happens.
	Inherit(ctx context.Context, c Consumer, former string) error
}
