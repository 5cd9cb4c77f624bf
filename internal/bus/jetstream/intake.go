package jetstream

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
)

// intake holds the events of one consumer that this process has taken, until each is answered: those under way, those that
// wait for a handler and, of ordered consumers, those that wait for an earlier one of their key.
type intake struct {
	bus      *Bus
	consumer bus.Consumer
	give     giver
	end      context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	more    *sync.Cond // of mu: ready has grown, or ending is true
	freed   *sync.Cond // of mu: held has shrunk, or ending is true
	spawn   func()     // starts another handler
	idle    int        // handlers that wait for an event
	started int
	held    map[uint64]*item
	ready   []*item
	lanes   map[string]*lane
	done    recent
	bytes   int  // of held
	ending  bool // nothing new is given to handlers
	stopped bool // verdicts come too late
}

// heldBytes bounds what one consumer holds; what comes beyond it is sent back to come again after shedWait.
const (
	heldBytes = 64 << 20
	shedWait  = time.Second
)

// item is one event.
type item struct {
	msg  jetstream.Msg
	meta *jetstream.MsgMetadata
	size int
	seq  uint64
	key  string
	seen time.Time // when the server last heard that we have it
}

// giver hands an event to whoever handles it; answer is called once.
type giver func(ctx context.Context, m bus.Stored, answer func(bus.Verdict))

func newIntake(b *Bus, c bus.Consumer, give giver) *intake {
	in := &intake{bus: b, consumer: c, give: give, held: map[uint64]*item{}, lanes: map[string]*lane{}, done: newRecent()}
	in.more, in.freed = sync.NewCond(&in.mu), sync.NewCond(&in.mu)
	return in
}

// run starts what keeps the server from giving up on events that wait; handlers are started as they are needed.
func (in *intake) run(ctx context.Context) {
	ctx, in.end = context.WithCancel(ctx)
	in.spawn = func() { in.running.Go(func() { in.work(ctx) }) }
	in.running.Go(func() { in.care(ctx) })
	context.AfterFunc(ctx, func() {
		in.mu.Lock()
		in.ending = true
		in.more.Broadcast()
		in.freed.Broadcast()
		in.mu.Unlock()
	})
}

// room waits until a handler is free and tells how many are; 0 is the end.
func (in *intake) room() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.held) >= in.consumer.Concurrency && !in.ending {
		in.freed.Wait()
	}
	if in.ending {
		return 0
	}
	return in.consumer.Concurrency - len(in.held)
}

// stop waits for the handlers and gives back what none of them began.
func (in *intake) stop() {
	in.end()
	in.running.Wait()
	in.mu.Lock()
	in.stopped = true
	left := make([]*item, 0, len(in.held))
	for _, it := range in.held {
		left = append(left, it)
	}
	in.mu.Unlock()
	slices.SortFunc(left, func(a, b *item) int { return int(int64(a.seq) - int64(b.seq)) }) //nolint:gosec // near one another
	for _, it := range left {
		_ = it.msg.Nak()
	}
	in.flush()
}

// flush sees to it that the server has our last answers; without them it would only deliver once more.
func (in *intake) flush() {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if nc, err := in.bus.server.Conn(ctx); err == nil {
		_ = nc.FlushWithContext(ctx)
	}
}

func (in *intake) has(seq uint64) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.held[seq] != nil
}

// receive takes in what the server delivers.
func (in *intake) receive(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		in.bus.opts.Log.Error("the server delivered an event without its place", "bus", in.bus.opts.Name, "error", err)
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	seq := meta.Sequence.Stream
	if in.done.has(seq, meta.Timestamp) { // our answer was lost
		_ = msg.Ack()
		return
	}
	if it := in.held[seq]; it != nil && !it.meta.Timestamp.Equal(meta.Timestamp) { // of a stream that is gone, and still under way
		_ = msg.NakWithDelay(shedWait)
		return
	} else if it != nil { // the server gave up on us too soon
		it.msg, it.meta, it.seen = msg, meta, time.Now()
		return
	}
	it := &item{msg: msg, meta: meta, seq: seq, size: len(msg.Data()), seen: time.Now()}
	var l *lane
	if in.consumer.Ordered {
		if it.key = keyOf(msg.Headers()); it.key != "" {
			l = in.lane(it.key)
		}
	}
	switch over := in.bytes > 0 && in.bytes+it.size > heldBytes; {
	case over:
		_ = msg.NakWithDelay(shedWait)
		if l != nil {
			l.leave(seq, time.Now().Add(shedWait+in.consumer.AckWait))
		}
		return
	case l == nil:
		in.hold(it)
		in.offer(it)
	default:
		in.hold(it)
		l.add(it)
		in.advance(l)
	}
}

func (in *intake) hold(it *item) {
	in.held[it.seq] = it
	in.bytes += it.size
}

func (in *intake) lane(key string) *lane {
	l := in.lanes[key]
	if l == nil {
		l = &lane{}
		in.lanes[key] = l
	}
	return l
}

// advance gives the next event of a lane to the handlers, if it is its turn.
func (in *intake) advance(l *lane) {
	if it := l.next(); it != nil {
		in.offer(it)
	}
}

func (in *intake) offer(it *item) {
	in.ready = append(in.ready, it)
	if len(in.ready) > in.idle && in.started < in.consumer.Concurrency && !in.ending {
		in.started++
		in.spawn()
	}
	in.more.Signal()
}

// work is one handler.
func (in *intake) work(ctx context.Context) {
	for {
		in.mu.Lock()
		for len(in.ready) == 0 && !in.ending {
			in.idle++
			in.more.Wait()
			in.idle--
		}
		if in.ending {
			in.mu.Unlock()
			return
		}
		it := in.ready[0]
		in.ready = in.ready[1:]
		msg, meta := it.msg, it.meta
		in.mu.Unlock()
		stored := in.bus.stored(msg, meta)
		in.give(ctx, stored, func(v bus.Verdict) { in.settle(it, v) })
	}
}

// settle passes a verdict on.
func (in *intake) settle(it *item, v bus.Verdict) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.held[it.seq] != it || in.stopped { // it was given back
		return
	}
	delete(in.held, it.seq)
	in.bytes -= it.size
	in.freed.Signal()
	switch {
	case !v.Retry:
		in.done.add(it.seq, it.meta.Timestamp)
		_ = it.msg.Ack() // if it is lost, the event comes again and is found among those done
	case v.After > 0:
		_ = it.msg.NakWithDelay(v.After)
	default:
		_ = it.msg.Nak()
	}
	l := in.lanes[it.key]
	if it.key == "" || l == nil {
		return
	}
	l.busy = false
	if v.Retry {
		l.leave(it.seq, time.Now().Add(v.After+in.consumer.AckWait))
	}
	in.advance(l)
	if l.empty() {
		delete(in.lanes, it.key)
	}
}

// care tells the server now and then that what it gave us is still being looked after.
func (in *intake) care(ctx context.Context) {
	tick := time.NewTicker(in.consumer.AckWait / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			in.renew(now)
			for _, seq := range in.overdue(now) {
				in.find(ctx, seq)
			}
		}
	}
}

func (in *intake) renew(now time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, it := range in.held {
		if now.Sub(it.seen) < in.consumer.AckWait/4 {
			continue
		}
		if it.msg.InProgress() == nil {
			it.seen = now
		}
	}
}

// overdue are events that should have come again.
func (in *intake) overdue(now time.Time) []uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	var late []uint64
	for _, l := range in.lanes {
		if len(l.away) > 0 && now.After(l.until) {
			late = append(late, l.away[0])
			l.until = now.Add(in.consumer.AckWait)
		}
	}
	return late
}

// find lets a key go on whose event is no longer on the bus: it grew too old while it waited.
func (in *intake) find(ctx context.Context, seq uint64) {
	js, err := in.bus.open(ctx)
	if err != nil {
		return
	}
	s, err := js.Stream(ctx, in.bus.stream)
	if err != nil {
		return
	}
	if _, err := s.GetMsg(ctx, seq); code(err) != jetstream.JSErrCodeMessageNotFound {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for key, l := range in.lanes {
		if !l.back(seq) {
			continue
		}
		in.advance(l)
		if l.empty() {
			delete(in.lanes, key)
		}
	}
}
