#!/bin/sh
# Runs every test: the main module, the modules of their own, and the scenarios against the real binary. Needs Go and git;
# a C compiler adds the race detector, root adds the tests of limits and mounts.
set -eu
cd "$(dirname "$0")/.."

race=
if [ "${OFN_RACE:-auto}" != off ] && command -v cc >/dev/null 2>&1 && [ "$(go env GOOS)" = linux ]; then
	race=-race
	CGO_ENABLED=1
	export CGO_ENABLED
else
	echo "test: no C compiler, so without the race detector"
fi
[ "$(id -u)" = 0 ] || echo "test: not root, so the tests of kernel limits that need it are skipped"

failed=
step() { # NAME COMMAND...
	name=$1
	shift
	begin=$(date +%s)
	echo "== $name"
	if "$@"; then echo "== $name: passed in $(($(date +%s) - begin)) s"; else
		echo "== $name: FAILED after $(($(date +%s) - begin)) s"
		failed="$failed $name"
	fi
}
inside() { (cd "$1" && shift && "$@"); }

step main go test $race -timeout 45m "$@" ./...
# test/cluster compiles all of Kubernetes, which takes minutes: make test-cluster runs its tests.
for m in $(git ls-files '*go.mod' | grep -v '^go.mod$' | grep -v testdata | grep -v '^examples/' | grep -v '^test/cluster/' | xargs -n1 dirname); do
	step "$m" inside "$m" go test $race -timeout 20m "$@" ./...
done
[ -z "$failed" ] || { echo "test: failed:$failed"; exit 1; }
echo "test: everything passed"
