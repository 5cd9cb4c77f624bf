package guest

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/binary"
)

// Image is the content of a memory, kept once and mapped copy-on-write into every instance that begins with it.
type Image struct {
	file *os.File
	size uint64 // of the memory
	kept uint64 // of the file: pages of zeros at the end are not in it
}

// newImage keeps what write puts into a file of size bytes.
func newImage(size uint64, write func(*os.File) error) (*Image, error) {
	f, err := nameless()
	if err != nil {
		return nil, fmt.Errorf("keeping the memory of a module: %w", err)
	}
	i := &Image{file: f, size: size}
	if err := write(i.file); err != nil {
		return nil, errors.Join(fmt.Errorf("keeping the memory of a module: %w", err), i.file.Close())
	}
	info, err := i.file.Stat()
	if err != nil {
		return nil, errors.Join(err, i.file.Close())
	}
	page := uint64(os.Getpagesize())
	i.kept = (uint64(info.Size()) + page - 1) / page * page
	return i, nil
}

// Close gives the image back; memories made of it keep what they have.
func (i *Image) Close() error { return i.file.Close() }

// imageOf is the image of a memory as it is now, without its pages of zeros.
func imageOf(memory []byte) (*Image, error) {
	return newImage(uint64(len(memory)), func(f *os.File) error {
		const page = 4096
		for at := 0; at < len(memory); {
			end := at
			for end < len(memory) && !zero(memory[end:min(end+page, len(memory))]) {
				end = min(end+page, len(memory))
			}
			if end > at {
				if _, err := f.WriteAt(memory[at:end], int64(at)); err != nil {
					return err
				}
			}
			at = end + page
		}
		return nil
	})
}

func zero(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if *(*uint64)(unsafe.Pointer(unsafe.SliceData(p))) != 0 {
			return false
		}
	}
	return true
}

// initialImage is the image of a memory of size bytes with segments in it. Segments beyond its end are an error, as they are
// when a module is instantiated.
func initialImage(size uint64, segments []binary.Segment) (*Image, error) {
	return newImage(size, func(f *os.File) error {
		for _, s := range segments {
			if uint64(s.Offset)+uint64(len(s.Data)) > size {
				return fmt.Errorf("a data segment of %d bytes at %d lies outside the memory of %d bytes", len(s.Data), s.Offset, size)
			}
			if _, err := f.WriteAt(s.Data, int64(s.Offset)); err != nil {
				return err
			}
		}
		return nil
	})
}

// memory is one linear memory. It never moves: all that it may ever have is reserved from the beginning, and costs nothing until
// it is written to.
type memory struct {
	image  *Image // nil: zeros
	budget *Budget
	base   unsafe.Pointer
	room   uint64 // reserved
	size   uint64 // usable, and taken from the budget
	denied bool   // a growth was refused
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) reserve(maximum uint64) error {
	m.room = min(maximum, m.budget.limit)
	if m.image != nil {
		m.room = max(m.room, m.image.size)
	}
	if m.room == 0 {
		m.room = binary.PageSize
	}
	base, err := unix.MmapPtr(-1, 0, nil, uintptr(m.room), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("reserving %d bytes for a memory: %w", m.room, err)
	}
	m.base = base
	return nil
}

// Reallocate implements experimental.LinearMemory.
func (m *memory) Reallocate(size uint64) []byte {
	if m.base == nil {
		return nil
	}
	first := m.size == 0
	if first && m.image != nil {
		size = max(size, m.image.size)
	}
	if size > m.room || size > m.size && !m.budget.take(size-m.size) {
		m.denied = true
		return nil
	}
	if size > m.size {
		if err := m.open(size, first); err != nil {
			m.budget.give(size - m.size)
			m.denied = true
			return nil
		}
		m.size = size
	}
	return unsafe.Slice((*byte)(m.base), m.size)
}

// open makes the bytes up to size usable.
func (m *memory) open(size uint64, first bool) error {
	from := m.size
	if first && m.image != nil {
		from = min(m.image.kept, size)
		if from > 0 {
			if _, err := unix.MmapPtr(int(m.image.file.Fd()), 0, m.base, uintptr(from), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE); err != nil {
				return err
			}
		}
	}
	if from == size {
		return nil
	}
	return unix.Mprotect(unsafe.Slice((*byte)(unsafe.Add(m.base, from)), size-from), unix.PROT_READ|unix.PROT_WRITE)
}

// Free implements experimental.LinearMemory.
func (m *memory) Free() {
	if m.base == nil {
		return
	}
	_ = unix.MunmapPtr(m.base, uintptr(m.room))
	m.base = nil
	m.budget.give(m.size)
	m.size = 0
}
