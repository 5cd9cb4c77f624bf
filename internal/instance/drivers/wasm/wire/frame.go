package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Kind is what a frame on the connection of a copy's life is.
type Kind byte

// The kinds. Each direction has its own.
const (
	// FrameStart (to the worker, once, first) has a Start as JSON.
	FrameStart Kind = 'S'
	// FrameStop (to the worker) has the grace as eight bytes of nanoseconds. A later one can only shorten it.
	FrameStop Kind = 'Q'
	// FrameStarted (to the driver, once) says that the copy was made.
	FrameStarted Kind = 's'
	// FrameFailed (to the driver, last) has a Failure as JSON: the copy could not be made.
	FrameFailed Kind = 'f'
	// FrameLog (to the driver) has what the copy wrote.
	FrameLog Kind = 'l'
	// FrameExit (to the driver, last) has an Exit as JSON.
	FrameExit Kind = 'x'
)

const (
	frameHead = 5
	// MaxFrame bounds a frame, in bytes: the files of a copy are in its Start.
	MaxFrame = 64 << 20
	// MaxLog bounds what one frame has of a log.
	MaxLog = 64 << 10
)

// AppendFrame appends a frame to b.
func AppendFrame(b []byte, k Kind, payload []byte) []byte {
	b = append(b, byte(k))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// WriteFrame writes a frame with one Write.
func WriteFrame(w io.Writer, k Kind, payload []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("a frame of %d bytes is too large", len(payload))
	}
	_, err := w.Write(AppendFrame(make([]byte, 0, frameHead+len(payload)), k, payload))
	return err
}

// ReadFrame reads a frame.
func ReadFrame(r io.Reader) (Kind, []byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes is too large", n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("reading a frame of %d bytes: %w", n, err)
	}
	return Kind(head[0]), payload, nil
}
