//go:build linux && (amd64 || arm64)

package sandbox

// GroupParent is the name of the directory of groups that belongs to a state directory.
var GroupParent = groupParent
