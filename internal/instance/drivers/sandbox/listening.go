//go:build linux && (amd64 || arm64)

package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
)

const (
	tcpListen = 0x0A // the state of a socket that accepts connections, in /proc/net/tcp
	// mostListening bounds an answer that is shown to people.
	mostListening = 16
)

// Listening implements instance.Listening, in order of the ports.
func (i *Instance) Listening() ([]string, error) {
	if err := i.over(); err != nil {
		return nil, err
	}
	proc, err := procfs.NewFS(filepath.Join("/proc", strconv.Itoa(i.process.pid)))
	if err != nil {
		return nil, fmt.Errorf("looking where instance %s listens: %w", i.id, err)
	}
	four, err := proc.NetTCP() // asking by netlink would need a socket inside the copy
	if err != nil {
		return nil, fmt.Errorf("looking where instance %s listens: %w", i.id, err)
	}
	six, err := proc.NetTCP6()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking where instance %s listens: %w", i.id, err)
	}
	return listeners(slices.Concat(four, six)), nil
}

// listeners picks those that accept connections.
func listeners(all procfs.NetTCP) []string {
	var found []netip.AddrPort
	for _, s := range all {
		if addr, ok := netip.AddrFromSlice(s.LocalAddr); ok && s.St == tcpListen {
			found = append(found, netip.AddrPortFrom(addr, uint16(s.LocalPort)))
		}
	}
	slices.SortFunc(found, func(a, b netip.AddrPort) int {
		return cmp.Or(cmp.Compare(a.Port(), b.Port()), a.Addr().Compare(b.Addr()))
	})
	found = slices.Compact(found)
	out := make([]string, 0, min(len(found), mostListening))
	for _, a := range found[:cap(out)] {
		out = append(out, a.String())
	}
	return out
}
