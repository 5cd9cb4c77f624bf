package gateway

import (
	"crypto/tls"
	"net"
)

// peer is what a connection's requests are told about their client.
type peer struct {
	scheme string
	ip     string
	node   string // ip as Forwarded wants it
}

func newPeer(nc net.Conn) peer {
	p := peer{scheme: "http", ip: "unknown", node: "unknown"}
	if _, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		p.scheme = "https"
	}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		p.setIP(a.IP.String())
	}
	return p
}

func (p *peer) setIP(ip string) {
	p.ip, p.node = ip, ip
	for i := range len(ip) {
		if ip[i] == ':' {
			p.node = `"[` + ip + `]"`
			break
		}
	}
}
