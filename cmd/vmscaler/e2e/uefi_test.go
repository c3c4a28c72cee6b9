package e2e

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The boot partition of the demo template, and where the first entry of its partition table has its type.
const (
	bootOffset = "@@1048576"
	bootType   = 446 + 4
	typeESP    = 0xef
)

// withUEFI imports the demo template with a boot loader for UEFI beside that for a BIOS: its boot partition is an EFI system
// partition then.
func (w *world) withUEFI(name, config string) {
	w.t.Helper()
	disk := filepath.Join(w.t.TempDir(), "disk")
	hostTool(w.t, "qemu-img", "convert", "-O", "raw", templateFile, disk)
	hostTool(w.t, "mmd", "-i", disk+bootOffset, "::/EFI", "::/EFI/BOOT")
	for from, to := range map[string]string{
		"/usr/lib/SYSLINUX.EFI/efi64/syslinux.efi": "BOOTX64.EFI", "/usr/lib/syslinux/modules/efi64/ldlinux.e64": "ldlinux.e64",
	} {
		hostTool(w.t, "mcopy", "-i", disk+bootOffset, from, "::/EFI/BOOT/"+to)
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	entry := make([]byte, 16)
	if _, err := f.ReadAt(entry, bootType-4); err != nil || binary.LittleEndian.Uint32(entry[8:]) != 2048 {
		w.t.Fatalf("the first partition is another one: %x, %v", entry, err)
	}
	if _, err := f.WriteAt([]byte{typeESP}, bootType); err != nil {
		w.t.Fatal(err)
	}
	w.must("template", "import", name, disk, "-c", config)
}

// TestUEFIGuest: a guest boots by UEFI, and one of the same template by a BIOS; a template that has no EFI system partition is
// refused before anything starts.
func TestUEFIGuest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dropTemplates("both", "bios")
	uefi := w.config("template: both\nmin: 1\nmax: 1\nfirmware: uefi\nboot_timeout: 5m")
	w.withUEFI("both", uefi)
	if out := w.must("template", "show", "both", "-c", uefi); !strings.Contains(out, "firmware   both") {
		t.Errorf("show says\n%s", out)
	}
	p := w.start(uefi)
	p.within(3*patience, "it is ready", func() bool { return p.decision.Inputs.Ready+p.decision.Inputs.Warming == 1 })
	name := w.vms()[0].Name
	if got := w.guestPrints(name, "ls -d /sys/firmware/efi"); strings.TrimSpace(got) != "/sys/firmware/efi" {
		t.Errorf("the guest prints %q", got)
	}
	p.stop()
	w.must("template", "import", "bios", templateFile, "-c", uefi)
	w.refused([]string{"config", "check", "-c", w.config("template: bios\nfirmware: uefi")}, "boots by BIOS only")
}
