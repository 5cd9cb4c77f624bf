//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// nftFirewall is a table of its own, so that it neither disturbs other rules nor is hard to remove.
type nftFirewall struct{ table *nftables.Table }

func newNftables(name string) *nftFirewall {
	return &nftFirewall{table: &nftables.Table{Family: nftables.TableFamilyINet, Name: name}}
}

// install replaces whatever an earlier platform left in the table:
//
//	input:       from a copy: drop. The host is out of reach, whatever its addresses.
//	forward:     from a copy to a copy or to link-local addresses (metadata services): drop;
//	             to a copy: only answers.
//	postrouting: from a copy's address: masquerade.
func (f *nftFirewall) install(prefix string, subnet netip.Prefix) error {
	if err := f.remove(); err != nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	table := c.AddTable(f.table)
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return c.AddChain(&nftables.Chain{Name: name, Table: table, Type: kind, Hooknum: hook, Priority: priority})
	}
	rule := func(ch *nftables.Chain, exprs ...[]expr.Any) {
		var all []expr.Any
		for _, e := range exprs {
			all = append(all, e...)
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: ch, Exprs: all})
	}
	drop := []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	from, to := link(expr.MetaKeyIIFNAME, prefix), link(expr.MetaKeyOIFNAME, prefix)

	input := chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	rule(input, from, drop)
	forward := chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	rule(forward, from, to, drop)
	rule(forward, from, address(destination, netip.MustParsePrefix("169.254.0.0/16")), drop)
	rule(forward, to, notAnswer(), drop)
	nat := chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	rule(nat, address(source, subnet), []expr.Any{&expr.Masq{}})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("installing rules: %w", err)
	}
	return nil
}

func (f *nftFirewall) remove() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	c.DelTable(f.table)
	if err := c.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing rules: %w", err)
	}
	return nil
}

// link matches the beginning of a link's name.
func link(key expr.MetaKey, prefix string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(prefix)}}
}

// The places of the addresses in an IPv4 header.
const (
	source      = 12
	destination = 16
)

// address matches an IPv4 packet from or to a subnet.
func address(offset uint32, p netip.Prefix) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: net.CIDRMask(p.Bits(), 32), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

// notAnswer matches packets that belong to no connection made from inside.
func notAnswer() []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Xor: make([]byte, 4),
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
	}
}
