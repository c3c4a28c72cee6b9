package vm

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// amend changes what a VM's metadata says, by what it says now. A VM that is gone, or not ours any more, is left as it is. It
// works beside whatever else is done about the VM where change writes an element of its own.
func (h Manager) amend(ctx context.Context, v VM, change func(dom *libvirt.Domain, now VM) error) error {
	dom, err := h.Conn.LookupDomainByUUIDString(v.UUID)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", v.Name, err)
	}
	defer func() { _ = dom.Free() }()
	return h.Calls.act(ctx, "metadata", func() error {
		now, err := readVM(dom)
		if errors.Is(err, errNotOurs) {
			return nil
		}
		if err != nil {
			return err
		}
		return change(dom, now)
	})
}

type metadataElement struct{ key, uri string }

// ownElements are the elements of vmscaler's in a domain's metadata, in the order in which they may be removed.
func ownElements() []metadataElement {
	return []metadataElement{
		{bus.ProtectionKey, bus.ProtectionURI},
		{bus.RebootKey, bus.RebootURI},
		{bus.DeletionKey, bus.DeletionURI},
		{bus.MetadataKey, bus.MetadataURI},
		{bus.OrderKey, bus.OrderURI},
	}
}

// readElement is an element of a domain's metadata as it was last written; "" is none. That is what libvirt keeps: a domain that
// goes on from saved memory runs with the metadata of when that was saved.
func readElement(dom *libvirt.Domain, uri string) (string, error) {
	element, err := readElementAt(dom, uri, libvirt.DOMAIN_AFFECT_CONFIG)
	if errors.Is(err, libvirt.ERR_OPERATION_INVALID) { // it is transient: a person has undefined it, and nothing is kept
		return readElementAt(dom, uri, 0)
	}
	return element, err
}

// readElementAt is an element of what runs, or of what is kept; 0 is what runs, if it does.
func readElementAt(dom *libvirt.Domain, uri string, where libvirt.DomainModificationImpact) (string, error) {
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, uri, where)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return "", nil
	}
	return element, err
}

// setElement writes an element of a domain's metadata, to what runs and to what is kept; "" removes it.
func setElement(dom *libvirt.Domain, key, uri, element string) error {
	where, err := modification(dom)
	if err != nil {
		return err
	}
	return dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, key, uri, where)
}

// withElement is a domain's definition with an element in its metadata, in place of the one that it may have there.
func withElement(definition, key, uri, element string) (string, error) {
	d := xml.NewDecoder(strings.NewReader(definition))
	var rest strings.Builder // up to the offset done
	var path []xml.Name
	done, began := int64(0), int64(0)
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("find the metadata of a definition: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if path = append(path, t.Name); len(path) == 3 {
				began = before
			}
		case xml.EndElement:
			metadata := len(path) > 1 && path[1].Local == "metadata"
			if metadata && len(path) == 3 && t.Name.Space == uri {
				rest.WriteString(definition[done:began])
				done = d.InputOffset()
			}
			if metadata && len(path) == 2 && before < d.InputOffset() { // it has a tag of its own
				return rest.String() + definition[done:before] + bus.Qualified(key, uri, element) + definition[before:], nil
			}
			path = path[:len(path)-1]
		}
	}
}

// modification is where a change of a domain's metadata must go: to what runs, and to what is kept.
func modification(dom *libvirt.Domain) (where libvirt.DomainModificationImpact, err error) {
	active, err := dom.IsActive()
	if err != nil {
		return 0, fmt.Errorf("is it active: %w", err)
	}
	persistent, err := dom.IsPersistent()
	if err != nil {
		return 0, fmt.Errorf("is it persistent: %w", err)
	}
	if active {
		where |= libvirt.DOMAIN_AFFECT_LIVE
	}
	if persistent {
		where |= libvirt.DOMAIN_AFFECT_CONFIG
	}
	return where, nil
}
