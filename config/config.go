// Package config holds the manifests of ofn on a cluster, as kustomizations: default, and the variants beside it.
package config

import "embed"

// Files are the kustomizations with what they are made of, below their directories: "default/kustomization.yaml".
//
//go:embed */kustomization.yaml crd/*_*.yaml gateway/*.yaml manager/*.yaml monitor/*.yaml network-policy/*.yaml rbac/*.yaml webhook/*.yaml
var Files embed.FS
