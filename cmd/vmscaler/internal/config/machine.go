package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/actuator/overlay"
	"github.com/vmscaler/vmscaler/bus"
)

// stateful checks what a group whose VMs have disks that outlive them cannot have beside that: a VM before the one is gone whose
// disks it is to have.
func (d *decoder) stateful(path string, g bus.Group) {
	i := slices.IndexFunc(g.Disks, func(disk bus.Disk) bool { return disk.Keep != bus.KeepNever })
	if i < 0 || d.bad(path+".disks") {
		return
	}
	with := fmt.Sprintf("with disks[%d].keep: %s, as a VM has the disk of another only once that is gone", i, g.Disks[i].Keep)
	if n := g.Maintenance.MaxHealthyPercent; n != 100 && !d.bad(path+".maintenance.max_healthy") {
		d.problem(path+".maintenance.max_healthy", d.mentioned(path+".maintenance.max_healthy", fmt.Sprint(n)),
			"100, and a min_healthy below it, "+with)
	}
	if n := g.Refresh.MaxSurge; n > 0 && !d.bad(path+".refresh.max_surge") {
		d.problem(path+".refresh.max_surge", fmt.Sprint(n), "0 or maintenance "+with)
	}
	if g.Rebalance != bus.RebalanceOff && !d.bad(path+".rebalance") {
		d.problem(path+".rebalance", string(g.Rebalance), "off with disks that are kept, as they stay on their host")
	}
	if g.WarmPool.On() && !d.bad(path+".warm_pool") {
		d.problem(path+".warm_pool", "one", "none "+with)
	}
}

// mentioned is a field's value, with a note where it is the default.
func (d *decoder) mentioned(path, value string) string {
	if d.has(path) {
		return value
	}
	return value + ", the default"
}

// nics checks what takes more than one field of the NICs.
func (d *decoder) nics(path string, g bus.Group) {
	nics := g.Hardware.NICs
	at := path + ".nics"
	if d.bad(at) || len(nics) == 0 {
		return
	}
	if g.Network != "" && !d.bad(path+".network") {
		d.problem(path+".network", g.Network, "none together with nics, which take its place")
	}
	if len(nics) > bus.MaxNICs {
		d.problem(at, fmt.Sprintf("%d NICs", len(nics)), fmt.Sprintf("at most %d", bus.MaxNICs))
	}
	if d.ports == nil {
		d.ports = map[int]string{}
	}
	for i, nic := range nics {
		one := fmt.Sprintf("%s[%d]", at, i)
		if d.bad(one) || d.bad(one+".type") || d.bad(one+".source") {
			continue
		}
		d.nic(one, nic)
		for n, f := range nic.Forwards {
			field := fmt.Sprintf("%s.forwards[%d]", one, n)
			d.forward(field, f, g.Max)
		}
	}
}

// nic checks one NIC.
func (d *decoder) nic(at string, nic bus.NIC) {
	switch {
	case nic.Type == bus.NICUser && nic.Source != "":
		d.problem(at+".source", nic.Source, "none with type: user")
	case nic.Type != bus.NICUser && nic.Source == "":
		d.problem(at+".source", "nothing", "the name of the "+map[bus.NICType]string{
			bus.NICNetwork: "libvirt network", bus.NICBridge: "bridge", bus.NICMacvtap: "device",
		}[nic.Type])
	}
	if nic.VLAN != 0 && nic.Type != bus.NICBridge && !d.bad(at+".vlan") {
		d.problem(at+".vlan", fmt.Sprint(nic.VLAN), "none but with type: bridge; a network of libvirt's has its own")
	}
	if len(nic.Forwards) > 0 && nic.Type != bus.NICUser {
		d.problem(at+".forwards", "ports with type: "+string(nic.Type), "none but with type: user")
	}
	if len(nic.Forwards) > bus.MaxForwards {
		d.problem(at+".forwards", fmt.Sprintf("%d ports", len(nic.Forwards)), fmt.Sprintf("at most %d", bus.MaxForwards))
	}
}

// forward checks one forwarded port: each VM has one of its own on the host, the next ones of the ports that are named. No other
// group's may have it either.
func (d *decoder) forward(at string, f bus.Forward, most int) {
	switch {
	case d.bad(at), d.bad(at + ".host_port"), d.bad(at + ".guest_port"):
		return
	case f.Host == 0 || f.Guest == 0:
		d.problem(at, "a forwarded port without host_port or guest_port", "both")
		return
	case f.Host+most-1 > 65535:
		d.problem(at+".host_port", fmt.Sprint(f.Host),
			fmt.Sprintf("at most %d, as each of %d VMs has one of its own", 65536-most, most))
		return
	}
	for port := f.Host; port < f.Host+most; port++ {
		if other, taken := d.ports[port]; taken {
			d.problem(at+".host_port", fmt.Sprint(f.Host),
				fmt.Sprintf("one at least %d away from that of line %d: each VM has one of its own", most, d.lines[other].line))
			return
		}
	}
	for port := f.Host; port < f.Host+most; port++ {
		d.ports[port] = at
	}
}

// hardware checks what takes more than one field of a machine.
func (d *decoder) hardware(path string, h bus.Hardware) {
	cpu := path + ".cpu"
	switch {
	case d.bad(cpu), d.bad(cpu + ".mode"), d.bad(cpu + ".model"):
	case h.CPU.Mode == bus.CPUCustom && h.CPU.Model == "":
		d.problem(cpu+".mode", string(h.CPU.Mode), "it together with a model")
	case h.CPU.Mode != bus.CPUCustom && h.CPU.Model != "":
		d.problem(cpu+".model", h.CPU.Model, "none without mode: custom")
	}
	if h.Firmware == bus.FirmwareUEFISecure && h.Machine != "" && !strings.Contains(h.Machine, "q35") && !d.bad(path+".machine") {
		d.problem(path+".machine", h.Machine, "q35 with firmware: uefi-secure")
	}
	d.overlay(path+".domain_xml", h.DomainXML)
}

// overlay checks what is laid over the definitions. A problem in a file is said of that file's line.
func (d *decoder) overlay(field string, t bus.Text) {
	var wrong *overlay.Error
	if d.bad(field) || !errors.As(overlay.Check(t.Text), &wrong) {
		return
	}
	d.textProblem(field, t, wrong.Line, wrong.Found, wrong.Allowed)
}

var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:+-]{0,62}$`)

func isWordOrNone(s string) bool { return s == "" || word.MatchString(s) }

// maxTags is how many words a VM may be described with.
const maxTags = 32

var tag = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:=+-]{0,62}$`)

// wordList is a list of words.
type wordList struct{ p *[]string }

func (l wordList) decode(d *decoder, path string, n ast.Node) {
	want := fmt.Sprintf("a list of at most %d words, each once, of letters, digits and . _ : = + -", maxTags)
	seq, is := n.(*ast.SequenceNode)
	if !is || len(seq.Values) > maxTags {
		d.problem(path, describe(n), want)
		return
	}
	var words []string // nil if there are none, as without the key
	for _, item := range seq.Values {
		s, _ := stringOf(item)
		if !tag.MatchString(s) || slices.Contains(words, s) {
			d.problem(path, describe(item), want)
			return
		}
		words = append(words, s)
	}
	*l.p = words
}

func (l wordList) render() (string, []string) {
	quoted := make([]string, len(*l.p))
	for i, s := range *l.p {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]", nil
}
