package gateway

import (
	"bytes"
	"errors"
	"io"
)

const (
	maxChunkLine  = 256       // the length of a chunk with its extensions
	maxExtensions = 16 << 10  // of all chunks of a body together
	maxTrailer    = 16 << 10  // bytes
	maxChunk      = 1<<60 - 1 // bytes
)

// body reads one message body from a connection whose buffer may hold its begin, and never a byte beyond it but into the
// buffer. The framing is taken off; trailers are left for trailer.
type body struct {
	in     *buffer
	src    io.Reader
	left   int64 // of the body or of the chunk
	kind   int64 // chunkedLength, closeLength, or 0 for a fixed length
	inside bool  // of a chunk; its end must follow
	ended  bool
	noise  int  // bytes of chunk extensions so far
	tail   head // trailer lines
}

// begin prepares for a body of the given length.
func (b *body) begin(in *buffer, src io.Reader, length int64) {
	b.in, b.src, b.inside, b.noise = in, src, false, 0
	b.left, b.kind = max(length, 0), min(length, 0)
	b.ended = length == 0
	b.tail.reset()
}

// read fills p with what is there, waiting only when nothing is. At the end it answers io.EOF; a body that breaks off is
// io.ErrUnexpectedEOF.
func (b *body) read(p []byte) (int, error) {
	for {
		if b.ended {
			return 0, io.EOF
		}
		if b.kind == closeLength {
			return b.toEnd(p)
		}
		if b.left > 0 {
			return b.part(p)
		}
		if b.kind == 0 {
			b.ended = true
			continue
		}
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
}

// ready reports whether read would not wait.
func (b *body) ready() bool {
	if b.ended || b.kind == 0 && b.left == 0 {
		return true
	}
	if b.kind != chunkedLength || b.left > 0 {
		return b.in.len() > 0
	}
	rest := b.in.bytes()
	if b.inside {
		rest = rest[min(2, len(rest)):]
	}
	i := bytes.IndexByte(rest, '\n')
	if i < 0 {
		return false
	}
	after := rest[i+1:]
	if rest[0] == '0' {
		return bytes.HasPrefix(after, crlf) || bytes.Contains(after, []byte("\r\n\r\n"))
	}
	return len(after) > 0
}

func (b *body) part(p []byte) (int, error) {
	p = p[:min(int64(len(p)), b.left)]
	n, err := b.raw(p)
	b.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, unexpected(err)
}

// raw reads from the buffer, or else from the connection itself.
func (b *body) raw(p []byte) (int, error) {
	if b.in.len() > 0 {
		n := copy(p, b.in.bytes())
		b.in.skip(n)
		return n, nil
	}
	n, err := b.src.Read(p)
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	return n, err
}

func (b *body) toEnd(p []byte) (int, error) {
	n, err := b.raw(p)
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		b.ended = true
	}
	return 0, err
}

// nextChunk reads the line before a chunk, and the trailer after the last one.
func (b *body) nextChunk() error {
	if b.inside {
		line, err := b.line(2)
		if err != nil {
			return err
		}
		if len(line) != 0 {
			return errChunk
		}
		b.inside = false
	}
	line, err := b.line(maxChunkLine)
	if err != nil {
		return err
	}
	size, ext, ok := parseChunk(line)
	if b.noise += ext; !ok || b.noise > maxExtensions {
		return errChunk
	}
	if size == 0 {
		return b.trailer()
	}
	b.left, b.inside = size, true
	return nil
}

// line takes one line of at most limit bytes, without its end.
func (b *body) line(limit int) ([]byte, error) {
	for {
		have := b.in.bytes()
		i := bytes.IndexByte(have, '\n')
		if i > 0 && have[i-1] == '\r' && i < limit {
			b.in.skip(i + 1)
			return have[:i-1], nil
		}
		if i >= 0 || len(have) >= limit {
			return nil, errChunk
		}
		if err := b.in.fill(b.src, max(len(b.in.b), 2*limit)); err != nil {
			return nil, unexpected(err)
		}
	}
}

// trailer reads the lines after the last chunk.
func (b *body) trailer() error {
	b.tail.start = span{0, 1} // there is no start line
	for {
		have := b.in.bytes()
		done, err := b.tail.more(have)
		if err != nil || len(have) > maxTrailer {
			return errTrailer
		}
		if done {
			b.in.skip(len(b.tail.raw))
			b.ended = true
			return nil
		}
		if err := b.in.fill(b.src, 2*maxTrailer); err != nil {
			return unexpected(err)
		}
	}
}

// parseChunk reads hexadecimal digits and optional extensions.
func parseChunk(line []byte) (size int64, extension int, ok bool) {
	i := 0
	for ; i < len(line); i++ {
		d, hex := hexDigit(line[i])
		if !hex {
			break
		}
		if size > maxChunk>>4 {
			return 0, 0, false
		}
		size = size<<4 | int64(d)
	}
	if i == 0 {
		return 0, 0, false
	}
	rest := line[i:]
	for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return size, len(line) - i, len(line) == i // white space must be followed by an extension
	}
	if rest[0] != ';' {
		return 0, 0, false
	}
	for _, c := range rest {
		if c < ' ' && c != '\t' || c == 0x7f {
			return 0, 0, false
		}
	}
	return size, len(line) - i, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// unexpected turns the end of a connection inside a body into what it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
