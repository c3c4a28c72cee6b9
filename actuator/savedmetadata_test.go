package actuator

import (
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// A VM that goes on from its saved memory runs with the metadata of when that was saved. What was noted since is in what libvirt
// keeps, and that counts. Each write to that alone is what was noted while the VM was saved.
func TestMetadataNotedWhileSaved(t *testing.T) {
	noted := func(b *testHost, key, uri, element string) {
		b.t.Helper()
		err := b.domain("web-1").SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, key, uri, libvirt.DOMAIN_AFFECT_CONFIG)
		if err != nil {
			b.t.Fatal(err)
		}
	}
	owned := func(b *testHost) (vms []vm.VM) { return b.inventory().Owned }
	launched := func(t *testing.T) *testHost {
		t.Helper()
		b := newHost(t)
		if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Run("it was given away", func(t *testing.T) {
		b := launched(t)
		noted(b, bus.MetadataKey, bus.MetadataURI, "")
		if got := owned(b); len(got) > 0 {
			t.Errorf("it is owned: %+v", got)
		}
		b.settle(webSpec(), 0)
		if b.domain("web-1") == nil {
			t.Error("it is removed")
		}
	})
	t.Run("it was protected", func(t *testing.T) {
		b := launched(t)
		noted(b, bus.ProtectionKey, bus.ProtectionURI, bus.Protection{On: true, By: "ann", Since: t0}.XML())
		if got := owned(b); len(got) != 1 || !got[0].Protected {
			t.Errorf("it is not protected: %+v", got)
		}
	})
	t.Run("it is kept from deletion", func(t *testing.T) {
		b := launched(t)
		noted(b, bus.DeletionKey, bus.DeletionURI, bus.DeletionPreventAll.XML())
		if got := owned(b); len(got) != 1 || got[0].Deletion != bus.DeletionPreventAll {
			t.Errorf("it is %+v", got)
		}
	})
	t.Run("something was ordered", func(t *testing.T) {
		b := launched(t)
		element, err := bus.VMOrder{Verb: bus.VMRemove, By: "ann", At: t0}.XML()
		if err != nil {
			t.Fatal(err)
		}
		noted(b, bus.OrderKey, bus.OrderURI, element)
		if got := owned(b); len(got) != 1 || !got[0].Order.Is(bus.VMRemove) {
			t.Errorf("it is %+v", got)
		}
	})
	t.Run("its phase changed", func(t *testing.T) {
		b := launched(t)
		meta := b.only().Meta
		meta.Phase = bus.PhaseStandby
		element, err := meta.XML()
		if err != nil {
			t.Fatal(err)
		}
		noted(b, bus.MetadataKey, bus.MetadataURI, element)
		if got := b.only().Meta.Phase; got != bus.PhaseStandby {
			t.Errorf("it is %s", got)
		}
	})
	t.Run("what runs alone says that it is ours", func(t *testing.T) {
		b := launched(t)
		if err := b.domain("web-1").Undefine(); err != nil { // nothing is kept
			t.Fatal(err)
		}
		if got := b.only(); got.Meta.Phase != bus.PhaseReady {
			t.Errorf("it is %+v", got)
		}
	})
}
