// Package api is the root of the platform's API types. Each group and version is a package below it; what they share,
// objects whose schema belongs to somebody else, is in opaque.
package api

//go:generate go -C .. run ./config/crd/generate
