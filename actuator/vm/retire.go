package vm

import (
	"context"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// SetRetiring notes in a VM's metadata that it serves only until another has taken its place, or that it stays. It reports
// whether that is new. A VM that is gone, or that does not serve any more, is left as it is.
func (h Manager) SetRetiring(ctx context.Context, v VM, retiring bool) (done bool, err error) {
	err = h.amend(ctx, v, func(dom *libvirt.Domain, now VM) error {
		if !now.Meta.Phase.Serves() || now.Retiring() == retiring {
			return nil
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
	if err := setElement(dom, bus.MetadataKey, bus.MetadataURI, element); err != nil {
		return fmt.Errorf("write its metadata: %w", err)
	}
	return nil
}
