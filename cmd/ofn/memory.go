package main

import (
	"strconv"

	"github.com/openfunction/ofn/internal/event/cluster"
)

// memoryLimitOf is how much memory this process may have by the environment of its container, before its garbage is collected more often:
// nine tenths of the container's limit, since programs need more than their heap. Zero is no limit, also where GOMEMLIMIT says one.
func memoryLimitOf(getenv func(string) string) int64 {
	if getenv("GOMEMLIMIT") != "" {
		return 0
	}
	n, err := strconv.ParseInt(getenv(cluster.EnvMemoryLimit), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n / 10 * 9
}
