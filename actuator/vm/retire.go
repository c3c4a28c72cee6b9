package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// SetRetiring notes in a VM's metadata that it serves only until another has taken its place, or that it stays. It reports
// whether that is new. A VM that is gone, or that does not serve any more, is left as it is.
func (h Manager) SetRetiring(ctx context.Context, v VM, retiring bool) (done bool, err error) {
	dom, err := h.Conn.LookupDomainByUUIDString(v.UUID)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", v.Name, err)
	}
	defer func() { _ = dom.Free() }()
	err = h.Calls.act(ctx, func() error {
		now, err := readVM(dom)
		if errors.Is(err, errNotOurs) {
			return nil
		}
		if err != nil || !now.Meta.Phase.Serves() || now.Retiring() == retiring {
			return err
		}
		next := now.Meta
		if next.Retiring = (time.Time{}); retiring {
			next.Retiring = time.Now()
		}
		done = true
		return setMetadata(dom, next)
	})
	if err != nil {
		return false, fmt.Errorf("%s: %w", v.Name, err)
	}
	return done, nil
}

// setMetadata writes our element, where a restart finds it and the collector reads it.
func setMetadata(dom *libvirt.Domain, meta bus.Metadata) error {
	element, err := meta.XML()
	if err != nil {
		return err
	}
	where, err := modification(dom)
	if err != nil {
		return err
	}
	if err := dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, bus.MetadataKey, bus.MetadataURI, where); err != nil {
		return fmt.Errorf("write its metadata: %w", err)
	}
	return nil
}
