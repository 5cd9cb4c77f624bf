package guest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mostHot bounds how many pages are made a spare's own before it is used. An instance whose first request changes more gains little.
const mostHot = 256

// mostSeen bounds how much of a memory is looked at, in bytes.
const mostSeen = 16 << 20

// hostPage is the unit in which the memory of an instance becomes its own.
const hostPage = 4096

// span is a part of a memory, in bytes.
type span struct{ from, to uint64 }

// output is where a spare writes: nowhere until it belongs to a copy.
type output struct{ to io.Writer }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) { return o.to.Write(p) }

// spares are what makers of one kind share beside their snapshot.
type spares struct {
	mu      sync.Mutex
	ready   *Instance // nobody's yet
	learned bool
	hot     []span // what requests change
	closed  bool
}

// Learn looks at what requests to an instance changed in its memory, once, so that spares have it ready. The instance must be at rest, and
// requests may wait for it: while a spare is being made nothing is learned.
func (m *Maker) Learn(used *Instance) error {
	s := m.shared.begun()
	sp := &m.shared.spares
	if !sp.mu.TryLock() {
		return nil
	}
	defer sp.mu.Unlock()
	if sp.learned || s == nil || used.memory.image != s.image {
		return nil
	}
	sp.learned = true
	var err error
	sp.hot, err = s.image.changed(used.memory)
	return err
}

// Prepare makes an instance that the next copy like this one begins with, unless there is one. Copies with files share none.
func (m *Maker) Prepare(ctx context.Context) error {
	s := m.shared.begun()
	sp := &m.shared.spares
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if s == nil || sp.ready != nil || sp.closed || m.s.Root != "" {
		return nil
	}
	i, err := m.spare(ctx, s)
	if err != nil {
		return fmt.Errorf("preparing an instance: %w", err)
	}
	i.memory.see()
	i.memory.own(sp.hot)
	sp.ready = i
	return nil
}

// spare makes one. It has a budget of its own until it belongs to a copy.
func (m *Maker) spare(ctx context.Context, s *snapshot) (*Instance, error) {
	own := *m
	out := &output{io.Discard}
	own.s.Log, own.s.Budget = out, NewBudget(m.s.Budget.Limit())
	own.config = m.config.WithStdout(out).WithStderr(out)
	i, err := own.restore(ctx, s)
	if err != nil {
		return nil, err
	}
	i.out = out
	return i, nil
}

// adopt gives the spare to this copy; nil when there is none that fits.
func (m *Maker) adopt() *Instance {
	sp := &m.shared.spares
	if !sp.mu.TryLock() { // one is being made: another is made sooner than that is waited for
		return nil
	}
	defer sp.mu.Unlock()
	i := sp.ready
	if i == nil || m.s.Root != "" || i.memory.budget.limit != m.s.Budget.limit || !m.s.Budget.take(i.memory.size) {
		return nil
	}
	sp.ready = nil
	i.maker, i.env, i.memory.budget, i.out.to = m, m.env, m.s.Budget, m.s.Log
	return i
}

// close gives back what nobody began with, and lets no more be made.
func (sp *spares) close() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.closed = true
	if sp.ready != nil {
		sp.ready.Close()
		sp.ready = nil
	}
}

// changed is where a memory that began as the image differs from it, in pages; nothing when that is nearly everywhere.
func (i *Image) changed(m *memory) ([]span, error) {
	var hot []span
	var before []byte
	if i.kept > 0 {
		at, err := unix.MmapPtr(int(i.file.Fd()), 0, nil, uintptr(i.kept), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("reading the memory of a snapshot: %w", err)
		}
		defer unix.MunmapPtr(at, uintptr(i.kept)) //nolint:errcheck // it is mapped
		before = unsafe.Slice((*byte)(at), i.kept)
	}
	now := unsafe.Slice((*byte)(m.base), min(m.size, mostSeen))
	pages := 0
	for at := 0; at+hostPage <= len(now); at += hostPage {
		page := now[at : at+hostPage]
		if at < len(before) && bytes.Equal(page, before[at:at+hostPage]) || at >= len(before) && zero(page) {
			continue
		}
		if pages++; pages > mostHot {
			return nil, nil
		}
		if n := len(hot); n > 0 && hot[n-1].to == uint64(at) {
			hot[n-1].to += hostPage
		} else {
			hot = append(hot, span{uint64(at), uint64(at) + hostPage})
		}
	}
	return hot, nil
}

// see makes what the memory shares with its image visible to it, as reading it would.
func (m *memory) see() {
	if n := min(m.image.kept, m.size); n > 0 {
		populate(unsafe.Slice((*byte)(m.base), n), false)
	}
}

// own makes parts of a memory its own, as writing to them would. It changes nothing that can be seen.
func (m *memory) own(parts []span) {
	for _, p := range parts {
		if p.to <= m.size {
			populate(unsafe.Slice((*byte)(unsafe.Add(m.base, p.from)), p.to-p.from), true)
		}
	}
}
