package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// Problems are what the config names and the host does not have. It changes nothing. With willSetUp that is without
// what [EnsurePool], [EnsureNetwork] and the building of [DemoTemplate] fix.
func Problems(conn *libvirt.Connect, cfg config.Config, uri string, willSetUp bool) (config.Problems, error) {
	poolOK, problems, err := poolProblem(conn, cfg, "libvirt.pool", cfg.Pool, uri, willSetUp)
	if err != nil {
		return nil, err
	}
	if cfg.Disks() != cfg.Pool {
		_, p, err := poolProblem(conn, cfg, "libvirt.disk_pool", cfg.Disks(), uri, willSetUp)
		if err != nil {
			return nil, err
		}
		problems = append(problems, p...)
	}
	for i, g := range cfg.Groups {
		p, err := networkProblems(conn, cfg, i, uri, willSetUp)
		if err != nil {
			return nil, err
		}
		problems = append(problems, p...)
		if p, err = leaseProblem(conn, cfg, i); err != nil {
			return nil, err
		}
		problems = append(problems, p...)
		if !poolOK || willSetUp && g.Template == DemoTemplate {
			continue
		}
		field := fmt.Sprintf("groups[%d].template", i)
		switch info, err := template.Lookup(conn, cfg.Pool, g.Template); {
		case errors.Is(err, template.ErrNotFound) && template.CheckName(g.Template) == nil && comesFromOthers(cfg):
		case errors.Is(err, template.ErrNotFound):
			remedy := cfg.Advice("`vmscaler template import " + g.Template + " FILE` makes it")
			if g.Template == DemoTemplate {
				remedy = cfg.Advice("`vmscaler template build` makes it")
			}
			if template.CheckName(g.Template) != nil {
				remedy = cfg.Advice("`vmscaler template import NAME FILE` makes one, under a name like web or web:3")
			}
			if none := new(template.NotFoundError); errors.As(err, &none) {
				remedy += nearest.Hint(g.Template, none.Names)
			}
			problems = append(problems, cfg.Problem(field, fmt.Sprintf("%q: %s", g.Template, err), "an existing template; "+remedy))
		case err != nil:
			problems = append(problems, cfg.Problem(field, fmt.Sprintf("%q: %s", g.Template, err), "a template that can be used"))
		case info.Format != "qcow2":
			problems = append(problems, cfg.Problem(field, fmt.Sprintf("%q, a volume of format %s", g.Template, info.Format),
				cfg.Advice("a qcow2 one; `vmscaler template import` converts")))
		case !info.Complete:
			problems = append(
				problems,
				cfg.Problem(field, fmt.Sprintf("%q, a template that is being uploaded or removed, or where that was cut off", g.Template),
					"a complete one; build or import it again"),
			)
		case info.Firmware.Unfit(g.Hardware.Firmware != bus.FirmwareBIOS) != "":
			unfit := info.Firmware.Unfit(g.Hardware.Firmware != bus.FirmwareBIOS)
			problems = append(problems,
				cfg.Problem(field, fmt.Sprintf("%q, which %s", g.Template, unfit), "a template for the group's firmware"))
		default:
			if _, err := vm.DiskBytes(g, info); err != nil {
				problems = append(problems, diskProblem(cfg, i, info))
			}
		}
		if err := vm.CheckDisks(conn, cfg.Pool, g); err != nil {
			problems = append(problems, cfg.Problem(fmt.Sprintf("groups[%d].disks", i), err.Error(), "disks that can be made"))
		}
	}
	return problems, nil
}

// UnreadSeeds warns of groups whose cloud_init nothing in their guests reads, as far as that is known of their templates.
func UnreadSeeds(conn *libvirt.Connect, cfg config.Config) []config.Warning {
	var found []config.Warning
	for i, g := range cfg.Groups {
		if !g.CloudInit.Seeded() {
			continue
		}
		info, err := template.Lookup(conn, cfg.Pool, g.Template)
		if err != nil {
			continue // which is a problem, or will be set up
		}
		if why := info.CloudInit.Unread(); why != "" {
			found = append(found, cfg.Warning(fmt.Sprintf("groups[%d].cloud_init", i),
				fmt.Sprintf("template %q %s", g.Template, why), template.CloudInitRemedy))
		}
	}
	return found
}

// diskProblem is a group whose disks would be smaller than their template.
func diskProblem(cfg config.Config, i int, info template.Info) config.Problem {
	g := cfg.Groups[i]
	return cfg.Problem(fmt.Sprintf("groups[%d].disk", i), vm.Size(uint64(g.DiskMiB)<<20),
		fmt.Sprintf("template, or at least %s, the size of template %q", vm.Size(info.Capacity), g.Template))
}

// poolProblem reports whether a pool can be used, and else what is wrong with it, unless that will be set up.
func poolProblem(
	conn *libvirt.Connect,
	cfg config.Config,
	field, pool, uri string,
	willSetUp bool,
) (ok bool, p config.Problems, err error) {
	switch active, err := poolActive(conn, pool); {
	case willSetUp && (errors.Is(err, libvirt.ERR_NO_STORAGE_POOL) || err == nil && !active):
		return false, nil, nil
	case errors.Is(err, libvirt.ERR_NO_STORAGE_POOL):
		return false, config.Problems{cfg.Problem(field, fmt.Sprintf("%q, a storage pool that does not exist", pool),
			cfg.Advice("an existing one; `vmscaler setup` makes it"))}, nil
	case err != nil:
		return false, nil, err
	case !active:
		return false, config.Problems{cfg.Problem(field, fmt.Sprintf("%q, a storage pool that is not active", pool),
			fmt.Sprintf("an active one: virsh -c %s pool-start %s", uri, pool))}, nil
	}
	return true, nil, nil
}

// networkProblems are those of all networks of a group.
func networkProblems(conn *libvirt.Connect, cfg config.Config, i int, uri string, willSetUp bool) (config.Problems, error) {
	g := cfg.Groups[i]
	if len(g.Hardware.NICs) == 0 {
		return networkProblem(conn, cfg, fmt.Sprintf("groups[%d].network", i), g.Network, uri, willSetUp)
	}
	var problems config.Problems
	for n, nic := range g.Hardware.NICs {
		if nic.Type != bus.NICNetwork {
			continue
		}
		p, err := networkProblem(conn, cfg, fmt.Sprintf("groups[%d].nics[%d].source", i, n), nic.Source, uri, willSetUp)
		if err != nil {
			return nil, err
		}
		problems = append(problems, p...)
	}
	return problems, nil
}

// MachineProblems are what the groups' VMs are to have and this host cannot give them.
func MachineProblems(conn *libvirt.Connect, cfg config.Config, acc vm.Acceleration) (config.Problems, error) {
	var problems config.Problems
	for i, g := range cfg.Groups {
		lacks, err := vm.Lacks(conn, vm.Machine{VirtType: acc.VirtType, Arch: acc.Arch}, g)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", g.Name, err)
		}
		for _, l := range lacks {
			problems = append(problems, cfg.Problem(fmt.Sprintf("groups[%d].%s", i, l.Field), l.Found, l.Allowed))
		}
	}
	return problems, nil
}

func networkProblem(conn *libvirt.Connect, cfg config.Config, field, name, uri string, willSetUp bool) (config.Problems, error) {
	if name == bus.UserNetwork {
		return nil, nil
	}
	net, err := conn.LookupNetworkByName(name)
	if willSetUp && name == "default" && errors.Is(err, libvirt.ERR_NO_NETWORK) {
		return nil, nil
	}
	if errors.Is(err, libvirt.ERR_NO_NETWORK) || errors.Is(err, libvirt.ERR_NO_SUPPORT) {
		return config.Problems{cfg.Problem(field, fmt.Sprintf("%q, a network that does not exist at %s", name, uri),
			fmt.Sprintf("%q for user-mode networking, or one of: %s", bus.UserNetwork, networkNames(conn)))}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up network %q: %w", name, err)
	}
	defer func() { _ = net.Free() }()
	active, err := net.IsActive()
	if err != nil {
		return nil, fmt.Errorf("read network %q: %w", name, err)
	}
	if !active && !willSetUp {
		return config.Problems{cfg.Problem(field, fmt.Sprintf("%q, a network that is not active", name),
			fmt.Sprintf("an active one: virsh -c %s net-start %s", uri, name))}, nil
	}
	return nil, nil
}

// leaseProblem is a group that waits for a lease where libvirt gives none, so that none can be seen.
func leaseProblem(conn *libvirt.Connect, cfg config.Config, i int) (config.Problems, error) {
	g := cfg.Groups[i]
	if g.ReadyWhen != bus.ReadyLease || g.Network == bus.UserNetwork {
		return nil, nil
	}
	net, err := conn.LookupNetworkByName(g.Network)
	if err != nil {
		return nil, nil // networkProblem has said so, or setting up makes it
	}
	defer func() { _ = net.Free() }()
	text, err := net.GetXMLDesc(0)
	if err != nil {
		return nil, fmt.Errorf("read network %q: %w", g.Network, err)
	}
	gives, err := givesLeases(text)
	if err != nil || gives {
		return nil, err
	}
	return config.Problems{cfg.Problem(fmt.Sprintf("groups[%d].ready_when", i), string(g.ReadyWhen),
		fmt.Sprintf("agent or uptime with the network %s, on which libvirt gives no leases and so sees none", g.Network))}, nil
}

// givesLeases reports whether libvirt itself gives addresses on a network.
func givesLeases(text string) (bool, error) {
	var x libvirtxml.Network
	if err := x.Unmarshal(text); err != nil {
		return false, fmt.Errorf("read network: %w", err)
	}
	return slices.ContainsFunc(x.IPs, func(ip libvirtxml.NetworkIP) bool {
		return ip.DHCP != nil && (len(ip.DHCP.Ranges) > 0 || len(ip.DHCP.Hosts) > 0)
	}), nil
}

func networkNames(conn *libvirt.Connect) string {
	nets, err := conn.ListAllNetworks(0)
	if err != nil || len(nets) == 0 {
		return "(there is none)"
	}
	var names []string
	for i := range nets {
		if name, err := nets[i].GetName(); err == nil {
			names = append(names, name)
		}
		_ = nets[i].Free()
	}
	return strings.Join(names, ", ")
}

func poolActive(conn *libvirt.Connect, name string) (bool, error) {
	pool, err := conn.LookupStoragePoolByName(name)
	if err != nil {
		return false, fmt.Errorf("look up storage pool %q: %w", name, err)
	}
	defer func() { _ = pool.Free() }()
	active, err := pool.IsActive()
	if err != nil {
		return false, fmt.Errorf("read storage pool %q: %w", name, err)
	}
	return active, nil
}

// comesFromOthers reports whether a template that the host lacks may come from another host: then it is no problem that it is not
// there yet.
func comesFromOthers(cfg config.Config) bool {
	listen, err := cfg.TemplateExchange()
	return err == nil && listen != ""
}
