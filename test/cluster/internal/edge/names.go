package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

const ttl = 5

// serveNames answers DNS on addr until ctx ends.
func serveNames(ctx context.Context, addr string, d *directory) error {
	servers := []*dns.Server{{Addr: addr, Net: "udp", Handler: d}, {Addr: addr, Net: "tcp", Handler: d}}
	ended := make(chan error, len(servers))
	started := make(chan struct{}, len(servers))
	for _, s := range servers {
		s.NotifyStartedFunc = func() { started <- struct{}{} }
		go func() { ended <- s.ListenAndServe() }()
	}
	var failed error
	left := len(servers)
	for range servers { // a server that has not started cannot be shut down
		select {
		case <-started:
		case err := <-ended:
			left--
			failed = errors.Join(failed, err)
		}
	}
	if failed == nil {
		select {
		case failed = <-ended:
			left--
		case <-ctx.Done():
			failed = ctx.Err()
		}
	}
	for _, s := range servers {
		_ = s.Shutdown() // one that never started says so
	}
	for range left {
		<-ended
	}
	return fmt.Errorf("serving names: %w", failed)
}

// ServeDNS answers one question. Names outside the cluster do not exist, as no way leads out of it.
func (d *directory) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	reply := new(dns.Msg).SetReply(question)
	reply.Authoritative = true
	reply.RecursionAvailable = true
	for _, q := range question.Question {
		ips, found := d.lookup(q.Name)
		if !found {
			reply.Rcode = dns.RcodeNameError
			continue
		}
		for _, ip := range ips {
			addr, err := netip.ParseAddr(ip)
			if err != nil || !addr.Is4() || q.Qtype != dns.TypeA {
				continue
			}
			reply.Answer = append(reply.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl},
				A:   addr.AsSlice(),
			})
		}
	}
	_ = w.WriteMsg(reply) // the asker asks again
}
