package guest

import "golang.org/x/sys/unix"

// populate has the kernel do now what it would do when memory is read or written. One that cannot does it then.
func populate(p []byte, write bool) {
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	_ = unix.Madvise(p, advice)
}
