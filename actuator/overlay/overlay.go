// Package overlay lays elements of a person's over the definition of a VM. It knows nothing of libvirt.
package overlay

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An overlay is a <domain> with some of its elements. Those below <devices> are added to the VM's; each other one takes the place
// of the VM's own element of that name, or is added. Elements that say who the VM is, what it is given by the group's own fields,
// and what becomes of it when it ends are not among them.

// replaceable are the elements that may be in an overlay beside devices.
var replaceable = []string{
	"blkiotune", "clock", "cpu", "cputune", "features", "iothreadids", "iothreads", "keywrap", "launchSecurity", "memoryBacking",
	"memtune",
	"numatune", "perf", "resource", "seclabel", "throttlegroups", "title",
}

// addable are the devices that may be in an overlay: not those that every VM has, and not NICs, which have a field of their own.
var addable = []string{
	"audio", "channel", "console", "controller", "crypto", "disk", "filesystem", "graphics", "hostdev", "hub", "input", "iommu",
	"memory",
	"parallel", "redirdev", "redirfilter", "rng", "serial", "shmem", "smartcard", "sound", "video", "vsock",
}

// MaxBytes is how long an overlay may be.
const MaxBytes = 64 << 10

// element is one that stands below another, as it is written.
type element struct {
	name string
	text string
	line int // from 1
}

// Error reports what is wrong with an overlay, and in which line of it.
type Error struct {
	Line    int // from 1; 0: it is about all of it
	Found   string
	Allowed string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("found %s, want %s", e.Found, e.Allowed)
	}
	return fmt.Sprintf("line %d: found %s, want %s", e.Line, e.Found, e.Allowed)
}

// Check reports what is wrong with an overlay; nil is nothing. The error is an [Error].
func Check(overlay string) error {
	_, _, err := parts(overlay)
	return err
}

// Apply lays an overlay over a definition.
func Apply(definition, overlay string) (string, error) {
	if strings.TrimSpace(overlay) == "" {
		return definition, nil
	}
	devices, others, err := parts(overlay)
	if err != nil {
		return "", fmt.Errorf("domain_xml: %w", err)
	}
	own, err := children(definition, "domain")
	if err != nil {
		return "", fmt.Errorf("lay domain_xml over a definition: %w", err)
	}
	var b strings.Builder
	b.WriteString(definition[:strings.Index(definition, ">")+1])
	for _, e := range own {
		if slices.ContainsFunc(others, func(o element) bool { return o.name == e.name }) {
			continue
		}
		if e.name == "devices" {
			end := strings.LastIndex(e.text, "</")
			b.WriteString(e.text[:end])
			for _, d := range devices {
				b.WriteString(d.text)
			}
			b.WriteString(e.text[end:])
			continue
		}
		b.WriteString(e.text)
	}
	for _, o := range others {
		b.WriteString(o.text)
	}
	return b.String() + "</domain>", nil
}

// parts are the devices of an overlay, and its other elements, all of which may be there.
func parts(overlay string) (devices, others []element, err error) {
	if strings.TrimSpace(overlay) == "" {
		return nil, nil, nil
	}
	if len(overlay) > MaxBytes {
		return nil, nil, &Error{0, fmt.Sprintf("%d bytes", len(overlay)), fmt.Sprintf("at most %d", MaxBytes)}
	}
	if err := wellFormed(overlay); err != nil {
		return nil, nil, err
	}
	all, err := children(overlay, "domain")
	if err != nil {
		return nil, nil, err
	}
	for _, e := range all {
		switch {
		case e.name == "devices":
			below, err := children(e.text, "devices")
			if err != nil {
				return nil, nil, err
			}
			for _, d := range below {
				d.line += e.line - 1
				if err := checkDevice(d); err != nil {
					return nil, nil, err
				}
				devices = append(devices, d)
			}
		case !slices.Contains(replaceable, e.name):
			return nil, nil, &Error{e.line, "<" + e.name + ">", "devices, or one of " + strings.Join(replaceable, ", ")}
		case slices.ContainsFunc(others, func(o element) bool { return o.name == e.name && e.name != "seclabel" }):
			return nil, nil, &Error{e.line, "<" + e.name + "> again", "it once"}
		case e.name == "features" && !strings.Contains(e.text, "<acpi"):
			return nil, nil, &Error{e.line, "<features> without <acpi/>", "it with that: else no guest hears that it is to shut down"}
		default:
			others = append(others, e)
		}
	}
	return devices, others, nil
}

// wellFormed reads all of a text, which the cuts of children do not.
func wellFormed(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			line, _ := d.InputPos()
			return &Error{line, "what is no XML (" + strings.TrimPrefix(err.Error(), "XML syntax error on ") + ")", "XML"}
		}
	}
}

// checkDevice refuses what VMs of a group cannot share, and what belongs to the program.
func checkDevice(d element) error {
	switch {
	case !slices.Contains(addable, d.name):
		return &Error{d.line, "<" + d.name + "> in <devices>", "one of " + strings.Join(addable, ", ")}
	case d.name == "disk":
		below, err := children(d.text, "disk")
		if err != nil {
			return err
		}
		has := func(name string) bool {
			return slices.ContainsFunc(below, func(e element) bool { return e.name == name })
		}
		if has("source") && !has("readonly") && !has("shareable") {
			return &Error{
				d.line, "a <disk> that each VM of the group would write to",
				"it with <readonly/> or <shareable/>; a VM's own disks are in disks",
			}
		}
	case strings.Contains(d.text, "org.qemu.guest_agent.0"):
		return &Error{d.line, "the guest agent's channel", "others only: each VM has that one"}
	}
	return nil
}

// children are the elements below the root, which must have the name root.
func children(text, root string) ([]element, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	var all []element
	depth, began := 0, int64(0)
	ended := false
	for {
		before := d.InputOffset()
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := d.InputPos()
		if err != nil {
			return nil, &Error{line, "what is no XML", "XML"}
		}
		switch t := token.(type) {
		case xml.StartElement:
			name := t.Name.Local
			if t.Name.Space != "" {
				name = t.Name.Space + ":" + name
			}
			switch {
			case ended, depth == 0 && name != root:
				return nil, &Error{line, "<" + name + ">", "one <" + root + ">"}
			case depth == 1:
				began = before
				all = append(all, element{name: name, line: line - strings.Count(text[before:d.InputOffset()], "\n")})
			}
			depth++
		case xml.EndElement:
			depth--
			if depth == 1 {
				all[len(all)-1].text = text[began:d.InputOffset()]
			}
			ended = depth == 0
		case xml.CharData:
			if depth <= 1 && strings.TrimSpace(string(t)) != "" {
				return nil, &Error{line, "text between elements", "elements only"}
			}
		case xml.Directive:
			return nil, &Error{line, "a document type", "elements only"}
		case xml.ProcInst, xml.Comment:
		}
		if depth < 0 {
			return nil, &Error{line, "an end without its beginning", "XML"}
		}
	}
	if !ended {
		return nil, &Error{0, "no complete <" + root + ">", "one"}
	}
	return all, nil
}
