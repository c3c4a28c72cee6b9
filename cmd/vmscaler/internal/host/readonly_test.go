package host

import (
	"errors"
	"testing"

	"libvirt.org/go/libvirt"
)

// A connection of a read-only dialer reads, and changes nothing.
func TestReadOnlyDialer(t *testing.T) {
	d := &Dialer{}
	conn, err := d.ReadOnly().Dial(t.Context(), "test:///default")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = conn.Close() }()
	if _, err := conn.ListAllDomains(0); err != nil {
		t.Error(err)
	}
	_, err = conn.DomainDefineXML(`<domain type='test'><name>x</name><memory>1024</memory><os><type>hvm</type></os></domain>`)
	if !errors.Is(err, libvirt.ERR_OPERATION_DENIED) {
		t.Errorf("defining a domain: %v, want it denied", err)
	}
}
