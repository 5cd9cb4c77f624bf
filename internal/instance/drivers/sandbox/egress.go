//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// gateway is where copies send what is not for themselves. It is nobody's address: the copy's neighbour table says which
// link it means, so that nothing has to be asked or answered.
var gateway = net.IPv4(169, 254, 1, 1)

// egress connects network namespaces to the outside, each through a pair of virtual links and the host's address.
type egress struct {
	host   int    // the host's network namespace
	prefix string // of the names of our links on the host
	subnet netip.Prefix
	fw     *nftFirewall

	resolver []byte // /etc/resolv.conf of copies

	mu   sync.Mutex
	used map[uint32]bool
	next uint32
}

// wire is what connects one network namespace. The zero wire connects to nothing.
type wire struct {
	egress *egress
	index  uint32
}

// newEgress installs the rules that let copies out, and nowhere else.
func newEgress(host int, stateDir string, subnet netip.Prefix) (*egress, error) {
	if !subnet.Addr().Is4() || subnet.Bits() > 24 || subnet.Bits() < 8 {
		return nil, fmt.Errorf("the subnet of copies %s must be an IPv4 prefix of 8 to 24 bits", subnet)
	}
	e := &egress{host: host, prefix: "ofn" + shortName(stateDir) + "-", subnet: subnet.Masked(), fw: newNftables(tableName(stateDir)), resolver: resolver(), used: map[uint32]bool{}}
	e.next = 1 + rand.Uint32N(e.size()) // far from other platforms, and from an earlier life of this one
	if err := e.fw.install(e.prefix, e.subnet); err != nil {
		return nil, fmt.Errorf("letting functions reach the outside (egress nat) needs nftables: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return nil, errors.Join(fmt.Errorf("switching forwarding on: %w", err), e.fw.remove())
	}
	return e, nil
}

// shortName tells platforms on one machine apart where names must be short.
func shortName(stateDir string) string { return groupParent(stateDir)[len("ofn-"):][:6] }

func tableName(stateDir string) string { return "ofn_" + shortName(stateDir) }

// size is how many addresses there are.
func (e *egress) size() uint32 { return uint32(1)<<(32-e.subnet.Bits()) - 2 }

func (e *egress) close() error { return e.fw.remove() }

// take reserves an address.
func (e *egress) take() (uint32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range e.size() {
		i := e.next
		e.next = e.next%e.size() + 1
		if !e.used[i] {
			e.used[i] = true
			return i, nil
		}
	}
	return 0, fmt.Errorf("all addresses of %s are in use", e.subnet)
}

func (w wire) release() {
	if w.egress != nil {
		w.egress.mu.Lock()
		delete(w.egress.used, w.index)
		w.egress.mu.Unlock()
	}
}

func (e *egress) addr(i uint32) net.IP {
	b := e.subnet.Addr().As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) + i
	return net.IPv4(byte(n>>24), byte(n>>16), byte(n>>8), byte(n)).To4()
}

// mac makes an address of a link; side is 0 for the host and 1 for the copy.
func mac(i uint32, side byte) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x0f, side, byte(i >> 16), byte(i >> 8), byte(i)}
}

// connect wires the network namespace of the calling thread, whose descriptor is inside.
func (e *egress) connect(inside int) (wire, error) {
	host, err := netlink.NewHandleAt(netns.NsHandle(e.host), unix.NETLINK_ROUTE)
	if err != nil {
		return wire{}, fmt.Errorf("talking to the host's network: %w", err)
	}
	defer host.Close()
	own, err := netlink.NewHandleAt(netns.NsHandle(inside), unix.NETLINK_ROUTE)
	if err != nil {
		return wire{}, fmt.Errorf("talking to the copy's network: %w", err)
	}
	defer own.Close()
	// An address can be taken by another platform on this machine, or by a namespace that the kernel still takes down.
	for range maxTaken {
		w, err := e.wire(host, own, inside)
		if err == nil {
			return w, nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return wire{}, fmt.Errorf("connecting the copy to the outside: %w", err)
		}
	}
	return wire{}, fmt.Errorf("connecting the copy to the outside: %d addresses of %s in a row are taken", maxTaken, e.subnet)
}

// maxTaken is how many addresses in a row may be taken by others.
const maxTaken = 64

// wire tries one address.
func (e *egress) wire(host, own *netlink.Handle, inside int) (wire, error) {
	i, err := e.take()
	if err != nil {
		return wire{}, err
	}
	w := wire{egress: e, index: i}
	if err = e.outerEnd(host, inside, i); err == nil {
		err = e.innerEnd(own, i)
	}
	if err != nil {
		w.release()
		return wire{}, err
	}
	return w, nil
}

// outerEnd makes the pair and sets up the host's end. The pair ends with the copy's namespace.
func (e *egress) outerEnd(h *netlink.Handle, inside int, i uint32) error {
	link := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("%s%x", e.prefix, i), HardwareAddr: mac(i, 0), TxQLen: -1},
		PeerName:  "eth0", PeerHardwareAddr: mac(i, 1), PeerNamespace: netlink.NsFd(inside),
	}
	if err := h.LinkAdd(link); err != nil {
		return fmt.Errorf("making link %s: %w", link.Name, err)
	}
	made, err := h.LinkByName(link.Name)
	if err != nil {
		return err
	}
	at := made.Attrs().Index
	ip := e.addr(i)
	err = errors.Join(
		h.LinkSetUp(made),
		h.NeighSet(&netlink.Neigh{LinkIndex: at, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: ip, HardwareAddr: mac(i, 1)}),
		h.RouteAdd(&netlink.Route{LinkIndex: at, Dst: &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}, Scope: netlink.SCOPE_LINK}),
	)
	if err != nil {
		return errors.Join(err, h.LinkDel(made))
	}
	return nil
}

func (e *egress) innerEnd(h *netlink.Handle, i uint32) error {
	link, err := h.LinkByName("eth0")
	if err != nil {
		return err
	}
	at := link.Attrs().Index
	return errors.Join(
		h.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: e.addr(i), Mask: net.CIDRMask(32, 32)}}),
		h.LinkSetUp(link),
		h.NeighSet(&netlink.Neigh{LinkIndex: at, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: gateway, HardwareAddr: mac(i, 0)}),
		h.RouteAdd(&netlink.Route{LinkIndex: at, Gw: gateway, Flags: int(netlink.FLAG_ONLINK)}),
	)
}
