package main

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/doctor"
)

const groupRoot = "/sys/fs/cgroup"

// kernelFacts reads what the kernel says of itself.
func kernelFacts(f *doctor.Facts) {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if kinds, err := os.ReadDir("/proc/self/ns"); err == nil {
		for _, k := range kinds {
			f.Namespaces = append(f.Namespaces, k.Name())
		}
	}
	f.MaxUserNamespaces = -1
	if n, err := strconv.Atoi(strings.Join(words("/proc/sys/user/max_user_namespaces"), "")); err == nil {
		f.MaxUserNamespaces = n
	}
	f.SeccompActions = words("/proc/sys/kernel/seccomp/actions_avail")
	if systems := words("/proc/filesystems"); len(systems) > 0 {
		f.Overlay = doctor.No
		if slices.Contains(systems, "overlay") {
			f.Overlay = doctor.Yes
		}
	}
	if _, err := os.Stat(groupRoot + "/cgroup.controllers"); err == nil {
		f.GroupVersion = 2
	} else if _, err := os.Stat(groupRoot + "/memory"); err == nil {
		f.GroupVersion = 1
	}
}

// words of a file of the kernel; none when it cannot be read.
func words(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}
