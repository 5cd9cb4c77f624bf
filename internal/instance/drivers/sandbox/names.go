//go:build linux && (amd64 || arm64)

package sandbox

import (
	"net/netip"
	"os"
	"strings"

	"github.com/openfunction/ofn/internal/instance"
)

// files are what programs expect to find about names: their own, and where to ask for others.
func (n network) files(name string) []instance.File {
	fs := []instance.File{{
		Path: "/etc/hosts", Mode: 0o644,
		Data: []byte("127.0.0.1\tlocalhost " + name + "\n::1\tlocalhost ip6-localhost\n"),
	}}
	if n.egress != nil {
		fs = append(fs, instance.File{Path: "/etc/resolv.conf", Data: n.egress.resolver, Mode: 0o644})
	}
	return fs
}

// hostNames are the host's own files about names, for a command that shares its network.
func hostNames() []instance.File {
	var fs []instance.File
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"} {
		if b, err := os.ReadFile(name); err == nil {
			fs = append(fs, instance.File{Path: name, Data: b, Mode: 0o644})
		}
	}
	return fs
}

// resolver is the host's configuration of name servers without those that only the host can reach. Where a stub
// resolver serves the host, its own configuration names the real ones.
func resolver() []byte {
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if conf, ok := reachable(string(b)); ok {
			return []byte(conf)
		}
	}
	return nil
}

// reachable drops name servers that copies cannot reach, and reports whether another remains.
func reachable(conf string) (string, bool) {
	var out strings.Builder
	ok := false
	for line := range strings.Lines(conf) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			addr, err := netip.ParseAddr(f[1])
			if err != nil || addr.IsLoopback() || !addr.Is4() {
				continue
			}
			ok = true
		}
		out.WriteString(line)
	}
	return out.String(), ok
}
