package gateway

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

// wire makes frames as bytes.
func wire(write func(f *http2.Framer)) []byte {
	var b bytes.Buffer
	f := http2.NewFramer(&b, nil)
	f.AllowIllegalWrites = true
	write(f)
	return b.Bytes()
}

func headers(id uint32, end bool) []byte {
	return wire(func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: end})
	})
}

func data(id uint32, end bool) []byte {
	return wire(func(f *http2.Framer) { f.WriteData(id, end, []byte("0123456789")) })
}

func reset(id uint32) []byte {
	return wire(func(f *http2.Framer) { f.WriteRSTStream(id, http2.ErrCodeNo) })
}

func goAway(id uint32) []byte {
	return wire(func(f *http2.Framer) { f.WriteGoAway(id, http2.ErrCodeNo, nil) })
}

// TestConnectionIsSettled tells, for conversations, after which of its messages nothing is owed any more.
func TestConnectionIsSettled(t *testing.T) {
	type message struct {
		byClient bool
		bytes    []byte
	}
	in := func(b []byte) message { return message{true, b} }
	out := func(b []byte) message { return message{false, b} }
	preface := in(append([]byte(h2Preface), wire(func(f *http2.Framer) { f.WriteSettings() })...))
	for name, tt := range map[string]struct {
		said    []message
		settled int // after this message, counted from 1; 0 is never
	}{
		"without requests":        {[]message{preface, out(goAway(0))}, 2},
		"no goaway":               {[]message{preface, in(headers(1, true)), out(headers(1, true))}, 0},
		"after the answer":        {[]message{preface, in(headers(1, true)), out(goAway(1)), out(headers(1, false)), out(data(1, true))}, 5},
		"answered before":         {[]message{preface, in(headers(1, true)), out(headers(1, true)), out(goAway(1))}, 4},
		"another under way":       {[]message{preface, in(headers(1, true)), in(headers(3, true)), out(goAway(3)), out(data(3, true)), out(data(1, true))}, 6},
		"not accepted":            {[]message{preface, in(headers(1, true)), out(goAway(1)), in(headers(3, true)), out(data(1, true))}, 5},
		"client gives up":         {[]message{preface, in(headers(1, false)), out(goAway(1)), in(reset(1))}, 4},
		"answered early":          {[]message{preface, in(headers(1, false)), out(goAway(1)), out(data(1, true)), out(reset(1))}, 5},
		"body after answer":       {[]message{preface, in(headers(1, false)), out(goAway(1)), out(data(1, true)), in(data(1, true))}, 5},
		"trailers after answer":   {[]message{preface, in(headers(1, false)), out(goAway(1)), out(data(1, true)), in(headers(1, true))}, 5},
		"trailers of done stream": {[]message{preface, in(headers(1, false)), out(reset(1)), in(headers(1, true)), out(goAway(1))}, 5},
		"client says it":          {[]message{preface, in(goAway(0))}, 0},
	} {
		for _, size := range []int{1, 2, 7, 10, 1000} {
			f, settled := newFrames(), 0
			for i, m := range tt.said {
				for rest := m.bytes; len(rest) > 0; {
					piece := rest[:min(size, len(rest))]
					rest = rest[len(piece):]
					if m.byClient && f.read(piece) || !m.byClient && f.written(piece) {
						if settled > 0 || len(rest) > 0 && size == 1000 {
							t.Errorf("%s in pieces of %d: settled twice or early", name, size)
						}
						settled = i + 1
					}
				}
			}
			if settled != tt.settled {
				t.Errorf("%s in pieces of %d: settled after %d, not %d", name, size, settled, tt.settled)
			}
		}
	}
}
