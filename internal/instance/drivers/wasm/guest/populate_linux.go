package guest

import "golang.org/x/sys/unix"

// populate has the kernel provide memory now that it would provide when it is written to. One that cannot does it then.
func populate(p []byte) { _ = unix.Madvise(p, unix.MADV_POPULATE_WRITE) }
