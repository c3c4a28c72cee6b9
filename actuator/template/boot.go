package template

import (
	"bytes"
	"encoding/binary"
)

// Where things are in the first sector of a disk.
const (
	bootCodeEnd    = 440
	mbrEntries     = 446
	mbrEntrySize   = 16
	mbrSignatureAt = 510

	mbrTypeESP = 0xef
	mbrActive  = 0x80
)

// gptSector is where the second sector can begin, in which a GPT has its header.
var gptSector = []int{512, 4096}

// Partition types of a GPT, as they are on the disk.
var (
	gptESP      = []byte("\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b")
	gptBIOSBoot = []byte("Hah!IdontNeedEFI")
)

// gptLegacyBoot is the attribute by which boot code of the BIOS finds its partition.
const gptLegacyBoot = 1 << 2

// What keeps a disk from starting, as VMs of a group have a BIOS.
var (
	errUEFIOnly = &formatError{
		reason: "boots by UEFI only, and groups start VMs with a BIOS: take an image that boots by BIOS too, or install a boot loader for it (as grub-pc)",
	}
	errNoBootCode = &formatError{reason: "has no boot code in its first sector, so a BIOS cannot start it"}
	errNoBoot     = &formatError{reason: "has no boot sector, so a BIOS cannot start it"}
)

// bootable tells what keeps a BIOS from starting a disk, of which head is the start; nil if nothing was found. That it starts is for
// a boot to show.
func bootable(head []byte) error {
	esp, marked, gpt := gptSays(head)
	if !hasSignature(head) {
		if esp {
			return errUEFIOnly
		}
		return errNoBoot
	}
	for i := range 4 {
		entry := head[mbrEntries+i*mbrEntrySize:]
		esp = esp || entry[4] == mbrTypeESP
		marked = marked || entry[0] == mbrActive
	}
	code := len(bytes.Trim(head[:bootCodeEnd], "\x00")) > 0
	switch {
	case esp && !code:
		return errUEFIOnly
	case !code:
		return errNoBootCode
	case gpt && esp && !marked:
		// Windows and others put code there that looks for an active partition and says that there is none.
		return errUEFIOnly
	}
	return nil
}

func hasSignature(head []byte) bool {
	return len(head) > mbrSignatureAt+1 && head[mbrSignatureAt] == 0x55 && head[mbrSignatureAt+1] == 0xaa
}

// gptSays reads a partition table: whether there is one, with a partition that UEFI starts, and one that a BIOS can.
func gptSays(head []byte) (esp, marked, gpt bool) {
	for _, sector := range gptSector {
		if len(head) < sector+92 || !bytes.HasPrefix(head[sector:], []byte("EFI PART")) {
			continue
		}
		at := binary.LittleEndian.Uint64(head[sector+72:])
		count := binary.LittleEndian.Uint32(head[sector+80:])
		size := uint64(binary.LittleEndian.Uint32(head[sector+84:]))
		if size < 128 || size > headSize || at > headSize {
			return false, false, true
		}
		at *= uint64(sector)
		for i := uint64(0); i < uint64(count) && at+size <= uint64(len(head)); i, at = i+1, at+size {
			entry := head[at:]
			kind := entry[:16]
			esp = esp || bytes.Equal(kind, gptESP)
			marked = marked || bytes.Equal(kind, gptBIOSBoot) ||
				len(bytes.Trim(kind, "\x00")) > 0 && binary.LittleEndian.Uint64(entry[48:])&gptLegacyBoot != 0
		}
		return esp, marked, true
	}
	return false, false, false
}

func hasBootSector(head []byte) bool {
	_, _, gpt := gptSays(head)
	return gpt || hasSignature(head)
}
