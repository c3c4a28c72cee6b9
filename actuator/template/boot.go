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

// What keeps a disk from starting.
var (
	errNoBootCode = &formatError{
		reason: "has no boot code in its first sector, so a BIOS cannot start it, and no EFI system partition, so UEFI cannot",
	}
	errNoBoot = &formatError{reason: "has no boot sector, so a BIOS cannot start it, and no EFI system partition, so UEFI cannot"}
)

// firmwareOf reports what can start a disk, of which head is the start; the error is what keeps everything from it. That it
// starts is for a boot to show.
func firmwareOf(head []byte) (Firmware, error) {
	esp, marked, gpt := gptSays(head)
	if !hasSignature(head) {
		if esp {
			return FirmwareUEFI, nil
		}
		return "", errNoBoot
	}
	for i := range 4 {
		entry := head[mbrEntries+i*mbrEntrySize:]
		esp = esp || entry[4] == mbrTypeESP
		marked = marked || entry[0] == mbrActive
	}
	code := len(bytes.Trim(head[:bootCodeEnd], "\x00")) > 0
	switch {
	case esp && !code:
		return FirmwareUEFI, nil
	case !code:
		return "", errNoBootCode
	case gpt && esp && !marked:
		// Windows and others put code there that looks for an active partition and says that there is none.
		return FirmwareUEFI, nil
	case esp:
		return FirmwareBoth, nil
	}
	return FirmwareBIOS, nil
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
