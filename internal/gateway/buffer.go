package gateway

import (
	"errors"
	"io"
)

var errBufferFull = errors.New("buffer full")

// buffer holds bytes that were read and not consumed yet: b[r:w].
type buffer struct {
	b    []byte
	r, w int
}

// bytes are what is buffered. They stay valid until the next fill.
func (q *buffer) bytes() []byte { return q.b[q.r:q.w] }

// len is how much is buffered.
func (q *buffer) len() int { return q.w - q.r }

// skip consumes n bytes.
func (q *buffer) skip(n int) {
	q.r += n
	if q.r == q.w {
		q.r, q.w = 0, 0
	}
}

// fill reads once more. It makes room by moving what is buffered to the front and by growing up to limit bytes, beyond
// which it answers errBufferFull.
func (q *buffer) fill(src io.Reader, limit int) error {
	if q.w == len(q.b) {
		switch {
		case q.r > 0:
			q.w = copy(q.b, q.b[q.r:q.w])
			q.r = 0
		case len(q.b) >= limit:
			return errBufferFull
		default:
			bigger := make([]byte, min(limit, 2*len(q.b)))
			copy(bigger, q.b[:q.w])
			q.b = bigger
		}
	}
	n, err := src.Read(q.b[q.w:])
	q.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}
