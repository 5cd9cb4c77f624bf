package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// outside reaches what users name as the goal of events and callbacks: everything but the platform's own listeners that are not for
// functions, and the addresses that belong to a link, where clouds keep the credentials of their machines.
func (p *platform) outside() *http.Transport {
	d := net.Dialer{Timeout: 10 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error { return p.mayReach(address) }}
	return &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: d.DialContext, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 16, MaxIdleConns: 128, IdleConnTimeout: time.Minute}
}

// mayReach is an error for an address, already resolved, that no event may be sent to.
func (p *platform) mayReach(address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("reading the address %s: %w", address, err)
	}
	ip := to.Addr().Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsMulticast() || ip.IsUnspecified() || ofCloud(ip) {
		return fmt.Errorf("events may not be sent to %s", ip)
	}
	if p.private(int(to.Port())) && local(ip) {
		return fmt.Errorf("events may not be sent to port %d of this machine, which is the platform's own", to.Port())
	}
	return nil
}

// ofCloud is whether an address is one under which clouds tell their machines secrets, beside those of the link.
func ofCloud(ip netip.Addr) bool {
	switch ip.String() {
	case "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16": // Amazon's, Google's, Alibaba's, Microsoft's
		return true
	}
	return false
}

// private is whether a port is one of the platform's, other than the gateway.
func (p *platform) private(port int) bool {
	for _, l := range []net.Listener{p.metricsListener, p.registryListener} {
		if l != nil && listens(l, port) {
			return true
		}
	}
	return p.api != nil && p.api.Config() != nil && hasPort(p.api.Config().Host, port)
}

func listens(l net.Listener, port int) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.Port == port
}

// hasPort is whether a URL names the port.
func hasPort(where string, port int) bool {
	u, err := url.Parse(where)
	return err == nil && u.Port() == strconv.Itoa(port)
}

// local is whether an address is this machine's.
func local(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip.AsSlice()) {
			return true
		}
	}
	return false
}
