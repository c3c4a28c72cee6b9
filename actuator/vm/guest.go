package vm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/check"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	runPoll = 200 * time.Millisecond // between two questions whether a program in a guest has ended
	killFor = 2 * time.Second        // for how long it is tried to end one
	signal  = 128                    // and the signal's number more is a program's status, as a shell has it
)

// guest is a VM as its checks ask it. What waits for the guest takes turns; what the host knows by itself does not.
type guest struct {
	dom      *libvirt.Domain
	calls    *Calls
	forwards map[int]int // ports of the loopback address by those of the VM that they lead to
	alone    bool        // nobody reaches the VM but by those
	remote   bool        // the loopback address is another machine's
}

// guest is the VM of that name, of a group of which nothing is left open.
func (h Manager) guest(spec bus.Group, name string, dom *libvirt.Domain) *guest {
	g := &guest{dom: dom, calls: h.Calls, forwards: map[int]int{}, alone: spec.Secluded()}
	if n, ok := bus.VMNumber(spec.Name, name); ok {
		g.forwards = spec.ForwardsOf(n)
	}
	uri, err := h.Conn.GetURI()
	g.remote = err != nil || !IsLocal(uri)
	return g
}

// notMade is an error that says nothing about the guest.
func notMade(err error) error { return fmt.Errorf("%w: %s", check.ErrNotMade, ErrorText(err)) }

// agent asks the guest's agent. An agent that does not answer is the guest's failure, and so is one that refuses; what libvirt
// says of itself is not.
func (g *guest) agent(ctx context.Context, execute string, arguments, result any) error {
	timeout := agentTimeout
	if end, bound := ctx.Deadline(); bound {
		timeout = min(timeout, max(time.Until(end), time.Second))
	}
	var err error
	if gone := g.calls.ask(ctx, "agent", func() { err = agentCommand(g.dom, timeout, execute, arguments, result) }); gone != nil {
		return fmt.Errorf("%w: other calls that ask guests go before it", check.ErrNotMade)
	}
	var said libvirt.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, libvirt.ERR_AGENT_UNRESPONSIVE), errors.Is(err, libvirt.ERR_AGENT_COMMAND_TIMEOUT):
		return errors.New("its guest agent does not answer")
	case errors.As(err, &said) && said.Code != libvirt.ERR_INTERNAL_ERROR && said.Code != libvirt.ERR_AGENT_COMMAND_FAILED:
		return notMade(err)
	}
	return errors.New(ErrorText(err))
}

// Ping implements [check.Guest].
func (g *guest) Ping(ctx context.Context) error { return g.agent(ctx, "guest-ping", nil, nil) }

// Leased implements [check.Guest].
func (g *guest) Leased(context.Context) (bool, error) {
	leased, err := hasLease(g.dom)
	if err != nil {
		return false, notMade(err)
	}
	return leased, nil
}

// Address implements [check.Guest]: of the VM's lease, else as the host's ARP table has it, else by its agent's word.
func (g *guest) Address(ctx context.Context) (netip.Addr, error) {
	for _, source := range []libvirt.DomainInterfaceAddressesSource{
		libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
	} {
		if text := bus.ChooseAddress(seenAddresses(g.dom, source)); text != "" {
			return netip.ParseAddr(text)
		}
	}
	macs, err := macsOf(g.dom)
	if err != nil {
		return netip.Addr{}, notMade(err)
	}
	var told []string
	var asked error
	if gone := g.calls.ask(ctx, "addresses", func() { told, asked = toldAddresses(g.dom, macs) }); gone != nil {
		return netip.Addr{}, fmt.Errorf("%w: other calls that ask guests go before it", check.ErrNotMade)
	}
	text := ""
	if asked == nil {
		text = bus.ChooseAddress(credible(told, ownAddresses()))
	}
	if text == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(text)
}

// Endpoint implements [check.Guest].
func (g *guest) Endpoint(ctx context.Context, port int) (netip.AddrPort, error) {
	host, forwarded := g.forwards[port]
	switch {
	case forwarded && g.remote:
		return netip.AddrPort{}, fmt.Errorf("%w: its forwarded port %d is on another machine", check.ErrNotMade, host)
	case forwarded:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(host)), nil //nolint:gosec // a port, by the config
	case g.alone:
		return netip.AddrPort{}, fmt.Errorf("%w: with user-mode networking nobody reaches its port %d", check.ErrNotMade, port)
	}
	address, err := g.Address(ctx)
	if err == nil && !address.IsValid() {
		err = errors.New("it has no address")
	}
	return netip.AddrPortFrom(address, uint16(port)), err //nolint:gosec // the config has 1 to 65535
}

// Endpoint is where a port of a running VM, of a group of that spec, is reached from this machine; an error says why it is not.
func (h Manager) Endpoint(ctx context.Context, spec bus.Group, vm VM, port int) (netip.AddrPort, error) {
	dom, err := h.Conn.LookupDomainByUUIDString(vm.UUID)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("look up %s: %w", vm.Name, err)
	}
	defer func() { _ = dom.Free() }()
	at, err := h.guest(h.Machine.resolve(spec), vm.Name, dom).Endpoint(ctx, port)
	if errors.Is(err, check.ErrNotMade) {
		err = errors.New(strings.TrimPrefix(err.Error(), check.ErrNotMade.Error()+": "))
	}
	return at, err
}

// Run implements [check.Guest].
func (g *guest) Run(ctx context.Context, command []string) (exit check.Exit, err error) {
	var run struct {
		PID int `json:"pid"`
	}
	err = g.agent(ctx, "guest-exec", map[string]any{
		"path": command[0], "arg": command[1:], "capture-output": true,
	}, &run)
	if err != nil {
		return exit, err
	}
	poll := time.NewTicker(runPoll)
	defer poll.Stop()
	for {
		var status runStatus
		if err := g.agent(ctx, "guest-exec-status", map[string]any{"pid": run.PID}, &status); err != nil && ctx.Err() == nil {
			return exit, err
		} else if err == nil && status.Exited {
			return status.exit(), nil
		}
		select {
		case <-ctx.Done():
			g.kill(ctx, run.PID)
			return exit, ctx.Err()
		case <-poll.C:
		}
	}
}

// kill ends a program that has not ended in time, as far as the guest does that, so that no two of one check run at a time.
func (g *guest) kill(ctx context.Context, pid int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killFor)
	defer cancel()
	_ = g.agent(ctx, "guest-exec", map[string]any{"path": "kill", "arg": []string{"-9", fmt.Sprint(pid)}}, nil)
}

// runStatus is what an agent says of a program that it runs.
type runStatus struct {
	Exited bool   `json:"exited"`
	Status int    `json:"exitcode"`
	Signal int    `json:"signal"`
	Output string `json:"out-data"`
	Errors string `json:"err-data"`
}

// exit is how the program ended; what it printed is first what it printed as errors.
func (s runStatus) exit() check.Exit {
	exit := check.Exit{Status: s.Status}
	if s.Signal != 0 {
		exit.Status = signal + s.Signal
	}
	for _, text := range []string{s.Errors, s.Output} {
		if data, err := base64.StdEncoding.DecodeString(text); err == nil && len(data) > 0 {
			exit.Output += string(data) + " "
		}
	}
	return exit
}

// macsOf are the MAC addresses of a VM, but for those in user-mode networking, where its addresses mean nothing to others; never
// nil.
func macsOf(dom *libvirt.Domain) ([]string, error) {
	text, err := dom.GetXMLDesc(0)
	if err != nil {
		return nil, fmt.Errorf("read its definition: %w", err)
	}
	var d libvirtxml.Domain
	if err := d.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("read its definition: %w", err)
	}
	macs := []string{}
	if d.Devices != nil {
		for _, i := range d.Devices.Interfaces {
			if i.MAC != nil && (i.Source == nil || i.Source.User == nil) {
				macs = append(macs, i.MAC.Address)
			}
		}
	}
	return macs, nil
}

// metadataServers are where clouds tell their VMs secrets, beside the link-local addresses, which are no VM's at all.
var metadataServers = [...]netip.Addr{
	netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("fd00:ec2::254"),
}

// credible are those of the addresses that a guest says are its own which it may be asked at: not this host's, where others
// listen, nor one of a metadata server.
func credible(told []string, own []netip.Addr) (texts []string) {
	for _, text := range told[:min(len(told), bus.MaxAddresses)] {
		if a, ok := bus.UsableAddress(text); ok && !slices.Contains(own, a) && !slices.Contains(metadataServers[:], a) {
			texts = append(texts, text)
		}
	}
	return texts
}

// ownAddresses are this host's.
func ownAddresses() (own []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, prefix.Addr().Unmap())
		}
	}
	return own
}

// TryCheck tries a check of a VM that is in service. It closes its reference to the connection, as it may take longer than the
// stage.
func (h Manager) TryCheck(ctx context.Context, spec bus.Group, vm VM, c bus.Check) check.Result {
	defer func() { _, _ = h.Conn.Close() }()
	dom, err := h.Conn.LookupDomainByUUIDString(vm.UUID)
	if err != nil {
		return check.Result{Outcome: check.Unknown, Why: ErrorText(err)}
	}
	defer func() { _ = dom.Free() }()
	return check.Try(ctx, c, h.guest(h.Machine.resolve(spec), vm.Name, dom))
}
