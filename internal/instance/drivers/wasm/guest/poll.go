package guest

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/tetratelabs/wazero/api"
)

const (
	subscriptionSize = 48
	eventSize        = 32
	mostEvents       = 4096

	eventClock, eventRead, eventWrite byte = 0, 1, 2
	clockRealtime                          = 0
	absolute                               = 1
)

// pollOneoff waits until one of the subscriptions is ready. Nothing turns while it waits.
func pollOneoff(ctx context.Context, i *Instance, mem api.Memory, stack []uint64) errno {
	in, out, n, count := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if n == 0 || n > mostEvents {
		return errInvalid
	}
	subs, ok := mem.Read(in, n*subscriptionSize)
	if !ok {
		return errFault
	}
	events, ok := mem.Read(out, n*eventSize)
	if !ok {
		return errFault
	}
	p := &poll{i: i, subs: append([]byte(nil), subs...)} // the guest may have both at the same place
	clear(events)
	ready, err := p.wait(ctx)
	if err != success {
		return err
	}
	for k, e := range ready {
		copy(events[k*eventSize:], e[:])
	}
	if !mem.WriteUint32Le(count, uint32(len(ready))) {
		return errFault
	}
	return success
}

type event [eventSize]byte

// poll is one call of pollOneoff.
type poll struct {
	i     *Instance
	subs  []byte
	ready []event
	timer *time.Timer
	first time.Time // when the earliest clock is due; zero without one
}

// wait returns what is ready, at least one event unless ctx ended.
func (p *poll) wait(ctx context.Context) ([]event, errno) {
	begin := time.Now()
	var due <-chan time.Time
	for {
		if err := p.look(begin, time.Now()); err != success || len(p.ready) > 0 {
			return p.ready, err
		}
		if due == nil && !p.first.IsZero() {
			p.timer = time.NewTimer(time.Until(p.first))
			defer p.timer.Stop()
			due = p.timer.C
		}
		select {
		case <-p.i.sockets.changed:
		case <-due:
		case <-ctx.Done():
			return nil, errIntr
		}
	}
}

// look gathers what is ready now.
func (p *poll) look(begin, now time.Time) errno {
	for s := p.subs; len(s) >= subscriptionSize; s = s[subscriptionSize:] {
		kind := s[8]
		switch kind {
		case eventClock:
			at, ok := clock(s[16:], begin, p.i.maker.program.runtime.nanotime)
			if !ok {
				return errInvalid
			}
			if !at.After(now) {
				p.add(s, kind, success, 0)
			} else if p.first.IsZero() || at.Before(p.first) {
				p.first = at
			}
		case eventRead, eventWrite:
			fd := int32(binary.LittleEndian.Uint32(s[16:]))
			if ready, bytes := p.i.sockets.ready(fd, kind == eventRead); ready {
				p.add(s, kind, success, bytes)
			}
		default:
			return errInvalid
		}
	}
	return success
}

func (p *poll) add(s []byte, kind byte, err errno, bytes int) {
	var e event
	copy(e[:8], s)
	binary.LittleEndian.PutUint16(e[8:], uint16(err))
	e[10] = kind
	binary.LittleEndian.PutUint64(e[16:], uint64(bytes))
	p.ready = append(p.ready, e)
}

// clock is when a subscription to a clock is due.
func clock(s []byte, begin time.Time, monotonic func() int64) (time.Time, bool) {
	id, timeout, flags := binary.LittleEndian.Uint32(s), binary.LittleEndian.Uint64(s[8:]), binary.LittleEndian.Uint16(s[24:])
	const longest = 100 * 365 * 24 * time.Hour
	switch {
	case flags&^absolute != 0 || id > 1:
		return time.Time{}, false
	case flags == 0:
		return begin.Add(time.Duration(min(timeout, uint64(longest)))), true
	case id == clockRealtime:
		return time.Unix(0, int64(min(timeout, 1<<63-1))), true
	}
	return begin.Add(time.Duration(int64(min(timeout, 1<<63-1)) - monotonic())), true
}
