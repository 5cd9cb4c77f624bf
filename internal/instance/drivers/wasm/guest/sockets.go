package guest

import (
	"net"
	"sync"
)

const (
	// firstSocket is where the descriptors of sockets that an instance opens or accepts begin, far above those of its files.
	firstSocket = 1 << 16
	mostSockets = 4096
	// backlog is how many connections wait until the module accepts them.
	backlog = 256
)

// Listener brings connections to a module that listens.
type Listener struct {
	queue chan net.Conn

	mu      sync.Mutex
	open    bool // the module listens
	early   bool // connections may come before it does
	closed  bool
	changed chan struct{} // of the instance's sockets
}

// NewListener makes one without an instance. With early, connections may wait for the module to listen.
func NewListener(early bool) *Listener {
	return &Listener{queue: make(chan net.Conn, backlog), early: early}
}

// Deliver hands a connection to the module. It is false when the module does not listen, or too many wait; the connection then
// stays the caller's.
func (l *Listener) Deliver(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open && !l.early || l.closed {
		return false
	}
	select {
	case l.queue <- c:
	default:
		return false
	}
	if l.changed != nil {
		signal(l.changed)
	}
	return true
}

// Listening is whether connections are taken.
func (l *Listener) Listening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return (l.open || l.early) && !l.closed
}

// listen opens it.
func (l *Listener) listen(changed chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.changed = true, changed // again and again, which changes nothing
}

// close refuses new connections and drops those that wait.
func (l *Listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default:
			return
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// socket is one descriptor.
type socket struct {
	nonblocking bool
	listening   bool
	given       bool   // it was there from the beginning, and nobody asked yet whether it blocks
	bound       uint32 // port
	stream      *stream
}

// sockets are the descriptors of an instance that are no files. Only changed and the streams are touched by other goroutines.
type sockets struct {
	table    map[int32]*socket
	next     int32
	listener *Listener     // nil when the instance cannot be connected to
	changed  chan struct{} // something may be ready; holds one
	streams  sync.WaitGroup
}

// newSockets makes the table.
func newSockets(l *Listener) *sockets {
	return &sockets{next: firstSocket, listener: l, changed: make(chan struct{}, 1)}
}

// give makes the listener descriptor fd, from the beginning, as modules of plain WASI expect it. The module listens as soon as it
// cares for it.
func (s *sockets) give(fd int32) {
	s.table = map[int32]*socket{fd: {listening: true, given: true}}
}

func (s *sockets) has(fd int32) bool {
	_, ok := s.table[fd]
	return ok
}

// empty is whether no socket was opened.
func (s *sockets) empty() bool { return len(s.table) == 0 }

func (s *sockets) add(k *socket) (int32, errno) {
	if len(s.table) >= mostSockets {
		return 0, errFiles
	}
	if s.table == nil {
		s.table = map[int32]*socket{}
	}
	for s.table[s.next] != nil {
		s.next = max(firstSocket, s.next+1) // it may overflow
	}
	fd := s.next
	s.table[fd] = k
	s.next = max(firstSocket, s.next+1)
	return fd, success
}

// attach makes a socket of a connection.
func (s *sockets) attach(c net.Conn, nonblocking bool) (int32, errno) {
	k := &socket{nonblocking: nonblocking}
	fd, err := s.add(k)
	if err != success {
		_ = c.Close()
		return 0, err
	}
	k.stream = newStream(c, s.changed, &s.streams)
	return fd, success
}

// ready is whether reading from or writing to a descriptor would not wait, and how much there is. What is no socket never waits.
func (s *sockets) ready(fd int32, read bool) (ready bool, bytes int) {
	k := s.table[fd]
	switch {
	case k == nil:
		return true, 0
	case k.listening:
		s.listener.listen(s.changed)
		return read && len(s.listener.queue) > 0, 0
	case k.stream == nil:
		return true, 0 // an error awaits
	case read:
		return k.stream.readable()
	}
	return k.stream.writable(), 0
}

// remove closes one descriptor; what was written to it still goes out.
func (s *sockets) remove(fd int32) errno {
	k := s.table[fd]
	if k == nil {
		return errBadFD
	}
	delete(s.table, fd)
	if k.stream != nil {
		k.stream.finish()
	}
	if k.listening {
		s.listener.close()
	}
	return success
}

// close ends all at once and waits for their goroutines.
func (s *sockets) close() {
	for _, k := range s.table {
		if k.stream != nil {
			k.stream.finish()
		}
	}
	s.table = nil
	if s.listener != nil {
		s.listener.close()
	}
	s.streams.Wait()
}
