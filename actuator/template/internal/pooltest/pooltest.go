package pooltest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"libvirt.org/go/libvirt"
)

// Connect connects to the system's libvirt for the length of the test.
func Connect(t *testing.T) *libvirt.Connect {
	t.Helper()
	conn, err := libvirt.NewConnect("qemu:///system")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// MakePool makes a storage pool for this test in a folder that libvirt's QEMU
// may enter, which t.TempDir's is not.
func MakePool(t *testing.T, conn *libvirt.Connect) (name, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vmscaler-pool-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name = filepath.Base(dir)
	p, err := conn.StoragePoolCreateXML(
		fmt.Sprintf("<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>", name, dir),
		0,
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Destroy(); err != nil { // a transient pool is gone with that
			t.Errorf("destroy pool: %v", err)
		}
		p.Free()
	})
	return name, dir
}

// CloneXML is a machine of a name, a machine type and a disk.
const CloneXML = `<domain type='qemu'>
  <name>%s</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <sysinfo type='smbios'><system><entry name='serial'>ds=nocloud;h=trial-1;i=iid-1</entry></system></sysinfo>
  <os><type arch='x86_64' machine='%s'>hvm</type><smbios mode='sysinfo'/></os>
  <features><acpi/><apic/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/><console type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio'/>
  </devices>
</domain>`

// AssertEmpty fails the test where a folder has something in it.
func AssertEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("left behind: %s", filepath.Join(dir, f.Name()))
	}
}
