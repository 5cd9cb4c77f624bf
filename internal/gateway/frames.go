package gateway

import (
	"encoding/binary"
	"sync"
)

// What of HTTP/2's framing the end of a connection depends on (RFC 9113, 4.1 and 6).
const (
	h2Preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHead      = 9
	frameData      = 0
	frameHeaders   = 1
	frameReset     = 3
	frameGoAway    = 7
	flagEndStream  = 1
	sawClientEnd   = 1
	sawServerEnd   = 2
	noStreamBits   = 1<<31 - 1
	goAwayStreamID = 4 // bytes of a GOAWAY that say which stream was the last
)

// frames looks at the frames that pass on an HTTP/2 connection, to know when it may be closed without waiting: net/http
// lets every connection live for a second after it has said that no more streams are welcome.
type frames struct {
	mu       sync.Mutex
	in, out  scanner
	open     map[uint32]uint8 // streams that have not ended both ways
	newest   uint32
	leaving  bool // a GOAWAY has passed
	accepted uint32
	settled  bool
}

// newFrames begins with a connection from which the preface is still to be read.
func newFrames() *frames {
	f := &frames{open: map[uint32]uint8{}}
	f.in.skip = len(h2Preface)
	return f
}

// read is told what came from the client, written what went to it. They report, once, that a GOAWAY was written and
// everything it promised was.
func (f *frames) read(p []byte) bool    { return f.pass(&f.in, p, sawClientEnd) }
func (f *frames) written(p []byte) bool { return f.pass(&f.out, p, sawServerEnd) }

func (f *frames) pass(s *scanner, p []byte, side uint8) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(p) > 0 {
		p = s.next(p)
		if !s.complete() {
			continue
		}
		f.frame(s, side)
		s.begin()
	}
	if !f.leaving || f.settled || f.out.n > 0 || f.out.skip > 0 {
		return false
	}
	for id := range f.open {
		if id <= f.accepted {
			return false
		}
	}
	f.settled = true
	return true
}

// frame notes what the head of a frame means.
func (f *frames) frame(s *scanner, side uint8) {
	id := s.stream()
	switch s.kind() {
	case frameHeaders, frameData:
		if side == sawClientEnd && id > f.newest {
			f.newest = id
			f.open[id] = 0
		}
		if s.head[4]&flagEndStream == 0 {
			return
		}
		if ends, ok := f.open[id]; ok {
			if f.open[id] = ends | side; f.open[id] == sawClientEnd|sawServerEnd {
				delete(f.open, id)
			}
		}
	case frameReset:
		delete(f.open, id)
	case frameGoAway:
		if side == sawServerEnd {
			f.leaving, f.accepted = true, binary.BigEndian.Uint32(s.head[frameHead:])&noStreamBits
		}
	}
}

// scanner takes the heads of frames out of a stream of bytes that comes in any pieces.
type scanner struct {
	head [frameHead + goAwayStreamID]byte
	n    int // bytes of head
	skip int // bytes before the next head
}

func (s *scanner) kind() byte     { return s.head[3] }
func (s *scanner) stream() uint32 { return binary.BigEndian.Uint32(s.head[5:]) & noStreamBits }
func (s *scanner) length() int    { return int(s.head[0])<<16 | int(s.head[1])<<8 | int(s.head[2]) }

// want is how much of the frame is looked at.
func (s *scanner) want() int {
	if s.n >= frameHead && s.kind() == frameGoAway && s.length() >= goAwayStreamID {
		return len(s.head)
	}
	return frameHead
}

// next consumes a part of p.
func (s *scanner) next(p []byte) []byte {
	if s.skip > 0 {
		n := min(s.skip, len(p))
		s.skip -= n
		return p[n:]
	}
	n := copy(s.head[s.n:s.want()], p)
	s.n += n
	return p[n:]
}

func (s *scanner) complete() bool { return s.n >= frameHead && s.n == s.want() }

// begin goes on to the next frame.
func (s *scanner) begin() {
	s.skip = s.length() - (s.n - frameHead)
	s.n = 0
}
