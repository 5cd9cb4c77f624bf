#!/bin/sh
# quick.sh: the tests that need a real Kubernetes and nothing else, for continuous integration. Where the machine cannot run a
# cluster it says so in one line and ends well.
set -eu
cd "$(dirname "$0")"
skip() { echo "cluster tests skipped: $*"; exit 0; }
[ "$(uname -s)" = Linux ] || skip "they need Linux"
[ "$(id -u)" = 0 ] || skip "they need root"
command -v go >/dev/null 2>&1 || skip "they need Go"
unshare --mount --net --pid --fork true 2>/dev/null || skip "this machine does not let root make namespaces"
if ! { command -v containerd && command -v runc && command -v iptables && command -v nft && command -v conntrack && [ -x /usr/lib/cni/bridge ]; } >/dev/null 2>&1; then
	command -v apt-get >/dev/null 2>&1 || skip "containerd, runc, the CNI plugins, iptables, nft or conntrack is not there, and no apt-get to install them with"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends containerd runc containernetworking-plugins iptables nftables conntrack; } >/dev/null 2>&1 ||
		skip "apt-get could not install containerd runc containernetworking-plugins iptables nftables conntrack"
fi
# The cgroups must let a kubelet make its own.
{ [ -w /sys/fs/cgroup/memory ] || [ -w /sys/fs/cgroup/cgroup.procs ]; } || skip "/sys/fs/cgroup cannot be written to"
free=$(df -Pk "${TMPDIR:-/tmp}" | awk 'NR==2 {print int($4/1048576)}')
[ "$free" -ge 6 ] || skip "${TMPDIR:-/tmp} has $free GiB free, and a cluster with its caches wants 6"

go mod download >/dev/null 2>&1 || skip "the modules of Kubernetes cannot be fetched"

code=0
PACKAGES="./smoke ./ofn" RUN='^(TestPodAndService|TestInstall|TestLife|TestManifests|TestRefused|TestRepair|TestTrouble)$' ./test.sh none || code=$?
[ $code -ne 75 ] || skip "no cluster comes up on this machine, for the reason above"
exit $code
