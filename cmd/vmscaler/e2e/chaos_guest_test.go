package e2e

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
)

// tinyGuest is a boot sector that is a whole guest: it runs within half a second, idles at about 1 % of a CPU, and is
// off at once when its power button is pressed. A key tells it to do otherwise.
//
//	        xor %bx,%bx
//	        mov $0x602,%dx          # ACPI: enable the power button
//	        mov $0x100,%ax
//	        out %ax,%dx
//	        sti
//	again:  mov $0x600,%dx          # was it pressed?
//	        in  %dx,%ax
//	        test $1,%ah
//	        jz  keys
//	        or  %bh,%bh             # deaf?
//	        jnz keys
//	        mov $0x604,%dx          # ACPI: off
//	        mov $0x2000,%ax
//	        out %ax,%dx
//	keys:   mov $1,%ah
//	        int $0x16
//	        jz  rest
//	        xor %ah,%ah
//	        int $0x16
//	        cmp $'h',%al            # hot
//	        jne 1f
//	        mov $1,%bl
//	1:      cmp $'c',%al            # cold
//	        jne 2f
//	        mov $0,%bl
//	2:      cmp $'d',%al            # deaf
//	        jne rest
//	        mov $1,%bh
//	rest:   or  %bl,%bl
//	        jnz spin
//	        hlt                     # until the timer ticks, 18 times a second
//	        jmp again
//	spin:   mov $0xffff,%cx
//	3:      loop 3b
//	        jmp again
const tinyGuest = "31dbba0206b80001effbba0006edf6c401740b08ff7507ba0406b80020efb401cd16741630e4cd163c687502b3013c637502b300" +
	"3c647502b70108db7503f4ebc9b9ffffe2feebc2"

// The keys of the tiny guest, by their Linux key codes.
const (
	keyHot  = 35 // takes all of its CPU
	keyCold = 46 // idles again
	keyDeaf = 32 // hears no power button any more
)

// dyingGuest is off by itself three seconds after it has booted.
//
//	        sti
//	        mov $54,%cx             # timer ticks
//	1:      hlt
//	        loop 1b
//	        mov $0x604,%dx          # ACPI: off
//	        mov $0x2000,%ax
//	        out %ax,%dx
//	2:      hlt
//	        jmp 2b
const dyingGuest = "fbb93600f4e2fdba0406b80020eff4ebfd"

// uploadTiny adds the template of the tiny guest.
func (w *world) uploadTiny() {
	w.t.Helper()
	if err := template.Upload(w.t.Context(), w.conn, template.Target{Pool: w.pool, Name: "tiny"}, guestDisk(w.t, tinyGuest),
		nil); err != nil {
		w.t.Fatal(err)
	}
}

// guestDisk makes the disk of a guest that is a boot sector; that of "" does not boot at all.
func guestDisk(t testing.TB, sector string) string {
	t.Helper()
	code, err := hex.DecodeString(sector)
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 1<<20)
	if len(code) > 0 {
		copy(disk, code)
		disk[510], disk[511] = 0x55, 0xaa
	}
	dir := t.TempDir()
	raw, qcow2 := filepath.Join(dir, "tiny.raw"), filepath.Join(dir, "tiny.qcow2")
	if err := os.WriteFile(raw, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %s: %s", err, out)
	}
	return qcow2
}

// press sends a key to a guest.
func press(dom *libvirt.Domain, key uint) error {
	return dom.SendKey(uint(libvirt.KEYCODE_SET_LINUX), 50, []uint{key}, 0)
}
