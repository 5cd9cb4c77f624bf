#!/bin/sh
# test.sh [ENGINE...]: builds the test cluster and ofn, starts the cluster, installs engines (Knative Serving unless others, or
# "none", are named), runs the tests inside it and takes it away. Tests of engines that are not there skip. What was compiled stays
# in the user's cache folder, so only the first run is long. $PACKAGES and $RUN choose tests as go test does.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- knative
[ "$*" != none ] || set --
packages=${PACKAGES:-$(go list ./... | grep -v -e /internal/ -e '/cluster$' -e /pause$)}
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${kubernetes#v1.}
stamp=k8s.io/component-base/version
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ofn-cluster
cluster=$cache/cluster
state=$(mktemp -d)
trap '"$cluster" down --dir "$state" || true; rm -rf "$state"' EXIT
trap 'exit 1' INT TERM

lap() { echo "== $1: $(($(date +%s) - begin)) s"; begin=$(date +%s); }
begin=$(date +%s)
CGO_ENABLED=0 nice -n 10 go build -trimpath -o "$cluster" \
	-ldflags "-s -w -X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*}" .
(cd ../.. && CGO_ENABLED=0 nice -n 10 go build -trimpath -ldflags "-s -w" -o "$cache/ofn" ./cmd/ofn)
# Nothing can be fetched inside.
# shellcheck disable=SC2086 # a list of words
CGO_ENABLED=0 go test -count=1 -run '^$' $packages >/dev/null
case $packages in
*scenarios*) (cd ../.. && CGO_ENABLED=0 go test -count=1 -run '^$' ./test >/dev/null) ;;
esac
for module in */testdata/*/go.mod; do
	(cd "$(dirname "$module")" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /dev/null .)
done
[ $# -eq 0 ] || "$cluster" build "$@"
lap "building"
"$cluster" up --dir "$state" || exit 75 # it is the machine that cannot, says quick.sh
[ $# -eq 0 ] || "$cluster" addons --dir "$state" "$@"
lap "a cluster with ${*:-nothing else}"
# One package after the other: there is one installation of ofn on a cluster.
# shellcheck disable=SC2086
CGO_ENABLED=0 "$cluster" inside --dir "$state" go test -p 1 -count=1 -timeout 60m -v -run "${RUN:-.}" $packages -cluster "$cluster" -ofn "$cache/ofn"
lap "the tests"
