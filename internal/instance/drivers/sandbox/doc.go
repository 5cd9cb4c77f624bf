// Package sandbox is the built-in instance driver: copies of functions in Linux namespaces, without a daemon, a helper
// program or a disk copy. See docs/RATIONALE.md for why it is made as it is.
package sandbox
