package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unmapProgram lets go of the parts of the program's own file that only the start needed. They stay in the page cache, and what
// runs on takes back what it needs; the kernel brings in far more around each access than that. Only mappings that cannot be
// written to are touched: nothing in them is lost.
func unmapProgram() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer f.Close()
	var mapped []byte
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 6 && !strings.HasSuffix(words[0], ":"):
			// 00400000-05e2f000 r-xp 00000000 fe:00 1234  /path/of/ofn
			mapped = nil
			if words[5] == self && words[1][0] == 'r' && words[1][1] == '-' {
				mapped = memory(words[0])
			}
		case len(words) == 3 && words[0] == "Anonymous:" && words[1] == "0" && len(mapped) > 0: // a dynamic linker may have written before it was read-only
			if err := unix.Madvise(mapped, unix.MADV_DONTNEED); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// memory is an address range of this process as the kernel writes it, nil if it cannot be read.
func memory(of string) []byte {
	from, to, _ := strings.Cut(of, "-")
	begin, err1 := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	if err1 != nil || err2 != nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(nil, uintptr(begin))), end-begin) //nolint:gosec // addresses of this process, from the kernel
}

// resident is the memory of this process, in bytes; 0 if it cannot be read.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
