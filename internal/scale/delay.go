package scale

import "time"

// delay remembers the largest number of a sliding window of decision ticks, in a deque that falls from front to back.
type delay struct {
	slots int64
	kept  []slot
}

type slot struct {
	at    int64
	value int
}

// newDelay makes one that remembers for d.
func newDelay(d time.Duration) *delay {
	return &delay{slots: int64((d + Tick - 1) / Tick)}
}

// largest records v at now and returns the largest still remembered.
func (d *delay) largest(now time.Time, v int) int {
	at := now.Unix() / int64(Tick/time.Second)
	for len(d.kept) > 0 && d.kept[len(d.kept)-1].value <= v {
		d.kept = d.kept[:len(d.kept)-1]
	}
	d.kept = append(d.kept, slot{at, v})
	for d.kept[0].at <= at-d.slots {
		d.kept = d.kept[1:]
	}
	return d.kept[0].value
}
