package calls

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Summary is what lists show of a call.
type Summary struct {
	ID         string    `json:"id"`
	Function   Name      `json:"function"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	State      State     `json:"state"`
	Reason     string    `json:"reason,omitempty"`
	Accepted   time.Time `json:"accepted"`
	Ended      time.Time `json:"ended,omitzero"`
	Due        time.Time `json:"due,omitzero"` // of scheduled and retrying calls
	Attempts   int       `json:"attempts"`
	Status     int       `json:"status,omitempty"`
	NoticeOwed bool      `json:"noticeOwed,omitempty"` // word of its end is still to be delivered
}

// Query chooses calls. Zero fields choose all.
type Query struct {
	Namespace, Function string
	States              []State
	Since, Until        time.Time // when they were accepted
	Limit               int       // of one page; 0 is 100, the most is 1000
	Continue            string    // of the page before
}

// Page is a part of a list, the newest first.
type Page struct {
	Calls    []Summary `json:"calls"`
	Continue string    `json:"continue,omitempty"` // empty: there are no more
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// List shows the calls that a query chooses.
func (c *Calls) List(q Query) (Page, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	var after *Summary
	if q.Continue != "" {
		nanos, id, ok := strings.Cut(q.Continue, "-")
		n, err := strconv.ParseInt(nanos, 10, 64)
		if !ok || err != nil {
			return Page{}, invalid("continue=%q is not of a page before", q.Continue)
		}
		after = &Summary{ID: id, Accepted: time.Unix(0, n)}
	}
	all := c.chosen(q, after)
	slices.SortFunc(all, newestFirst)
	page := Page{Calls: all}
	if len(all) > limit {
		page.Calls = all[:limit:limit]
		last := page.Calls[limit-1]
		page.Continue = strconv.FormatInt(last.Accepted.UnixNano(), 10) + "-" + last.ID
	}
	return page, nil
}

func newestFirst(a, b Summary) int {
	return cmp.Or(b.Accepted.Compare(a.Accepted), strings.Compare(a.ID, b.ID))
}

func (c *Calls) chosen(q Query, after *Summary) []Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, out := c.o.Clock.Now(), []Summary{}
	for _, e := range c.index.calls {
		s := e.summary()
		s.State = e.stateAt(now)
		if q.matches(&s) && (after == nil || newestFirst(s, *after) > 0) {
			out = append(out, s)
		}
	}
	return out
}

func (q *Query) matches(s *Summary) bool {
	return (q.Namespace == "" || q.Namespace == s.Function.Namespace) && (q.Function == "" || q.Function == s.Function.Name) &&
		(len(q.States) == 0 || slices.Contains(q.States, s.State)) &&
		!s.Accepted.Before(q.Since) && (q.Until.IsZero() || s.Accepted.Before(q.Until))
}

// watchRoom is how many changes wait for a watcher.
const watchRoom = 256

// Watcher gets the changes of calls from the time that it was made.
type Watcher struct {
	c       *Calls
	q       Query
	changes chan Summary
}

// Watch follows the calls that a query chooses. Run must be called, and gives back what is held.
func (c *Calls) Watch(q Query) (*Watcher, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	w := &Watcher{c: c, q: q, changes: make(chan Summary, watchRoom)}
	c.watchers[w.changes] = struct{}{}
	return w, nil
}

// Run calls each with every change, until ctx ends, each fails, or the watcher is so slow that it missed some: then it returns nil and
// the caller lists again.
func (w *Watcher) Run(ctx context.Context, each func(Summary) error) error {
	defer func() {
		w.c.mu.Lock()
		defer w.c.mu.Unlock()
		delete(w.c.watchers, w.changes)
	}()
	for {
		select {
		case s, ok := <-w.changes:
			if !ok {
				return nil
			}
			if !w.q.matches(&s) {
				continue
			}
			if err := each(s); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell lets watchers know of a change. The lock is held.
func (c *Calls) tell(e *entry) {
	for w := range c.watchers {
		select {
		case w <- e.summary():
		default:
			close(w)
			delete(c.watchers, w)
		}
	}
}

// Lag is how many calls of a function wait or run; without a name, of all.
func (c *Calls) Lag(function Name) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if function == (Name{}) {
		return c.use.waiting
	}
	return c.use.byFunction[function]
}
