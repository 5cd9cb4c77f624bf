//go:build unix

package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Pair is a connection to a copy that is made together with it: the near end is the caller's, the far end goes with the copy's start.
func Pair() (near net.Conn, far *os.File, err error) {
	ends, err := pair()
	if err != nil {
		return nil, nil, fmt.Errorf("making a connection: %w", err)
	}
	far = os.NewFile(uintptr(ends[1]), "connection")
	if near, err = connOf(ends[0]); err != nil {
		return nil, nil, errors.Join(err, far.Close())
	}
	return near, far, nil
}

// connOf makes a connection of a descriptor, which is its own from then on.
func connOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "connection")
	defer f.Close() // the connection has a duplicate
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("making a connection: %w", err)
	}
	return c, nil
}

// Send writes b, and gives far to the other side with it.
func Send(c *net.UnixConn, b []byte, far *os.File) error {
	n, _, err := c.WriteMsgUnix(b, unix.UnixRights(int(far.Fd())), nil)
	if err == nil && n < len(b) {
		_, err = c.Write(b[n:])
	}
	return err
}

// Receiver reads from a connection, and takes the one that Send gave with what is read.
type Receiver struct {
	*net.UnixConn
	// Passed is what came; nil is nothing. It belongs to the caller.
	Passed net.Conn
}

// Read implements io.Reader.
func (r *Receiver) Read(p []byte) (int, error) {
	if r.Passed != nil {
		return r.UnixConn.Read(p)
	}
	rights := make([]byte, unix.CmsgSpace(4))
	n, got, _, _, err := r.ReadMsgUnix(p, rights)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	if got > 0 {
		err = errors.Join(err, r.take(rights[:got]))
	}
	return n, err
}

func (r *Receiver) take(rights []byte) error {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return fmt.Errorf("reading what came with a message: %w", err)
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fmt.Errorf("reading what came with a message: %w", err)
		}
		for _, fd := range fds {
			c, err := connOf(fd)
			if err != nil {
				return err
			}
			if r.Passed != nil {
				_ = c.Close()
				continue
			}
			r.Passed = c
		}
	}
	return nil
}
