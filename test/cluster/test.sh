#!/bin/sh
# test.sh [ENGINE...]: builds the test cluster, starts it, installs engines (Knative Serving unless others are named), runs the
# tests inside it and takes it away. What was compiled stays in the user's cache folder, so only the first run is long.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- knative
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${kubernetes#v1.}
stamp=k8s.io/component-base/version
cluster=${XDG_CACHE_HOME:-$HOME/.cache}/ofn-cluster/cluster
state=$(mktemp -d)
trap '"$cluster" down --dir "$state" || true; rm -rf "$state"' EXIT
trap 'exit 1' INT TERM

CGO_ENABLED=0 nice -n 10 go build -trimpath -o "$cluster" \
	-ldflags "-s -w -X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*}" .
"$cluster" build "$@"
"$cluster" up --dir "$state"
"$cluster" addons --dir "$state" "$@"
"$cluster" inside --dir "$state" go test -count=1 -v ./smoke -cluster "$cluster"
CGO_ENABLED=0 go test ./internal/...
