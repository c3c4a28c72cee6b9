package install

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// CheckMedium refuses a file that is no ISO 9660 image from which a BIOS boots.
func CheckMedium(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s: found no regular file, want an ISO 9660 image", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := checkBoot(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// What ISO 9660 and El Torito have where.
const (
	sector        = 2048
	firstVolume   = 16 // the sector of the first volume descriptor
	bootRecord    = 17 // and of El Torito's boot record, which names that of the catalog at catalogAt
	catalogAt     = 0x47
	entrySize     = 32
	platformBIOS  = 0x00
	platformUEFI  = 0xef
	entryBoots    = 0x88
	headerFollows = 0x90
	headerLast    = 0x91
	extension     = 0x44 // of the entry before it; not among those that a header counts
)

// checkBoot looks at an image's volume descriptor, boot record and boot catalog.
func checkBoot(image io.ReaderAt) error {
	volume, err := readSector(image, firstVolume)
	if err != nil {
		return err
	}
	if volume == nil || !bytes.Equal(volume[1:6], []byte("CD001")) {
		size, err := firstBytes(image)
		if err != nil {
			return err
		}
		return fmt.Errorf("found %s, want an ISO 9660 image", size)
	}
	record, err := readSector(image, bootRecord)
	if err != nil {
		return err
	}
	if record == nil || record[0] != 0 || !bytes.HasPrefix(record[1:], []byte("CD001\x01EL TORITO SPECIFICATION")) {
		return errors.New("found an ISO 9660 image without a boot record (El Torito), want one that boots as a CD")
	}
	catalog, err := readSector(image, int64(binary.LittleEndian.Uint32(record[catalogAt:])))
	if err != nil {
		return err
	}
	switch bios, uefi := bootedBy(catalog); {
	case bios:
		return nil
	case uefi:
		return errors.New("found an ISO 9660 image that only UEFI boots, want one that a BIOS boots, too: the machine has a BIOS")
	}
	return errors.New("found an ISO 9660 image whose boot catalog (El Torito) has nothing that a BIOS boots")
}

// readSector returns nil where the image ends before the sector's end.
func readSector(image io.ReaderAt, n int64) ([]byte, error) {
	data := make([]byte, sector)
	switch _, err := image.ReadAt(data, n*sector); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return data, nil
}

// firstBytes says what a file begins with that is no ISO image.
func firstBytes(image io.ReaderAt) (string, error) {
	head := make([]byte, 8)
	n, err := image.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if n == 0 {
		return "an empty file", nil
	}
	return fmt.Sprintf("a file that begins with %q", head[:n]), nil
}

// bootedBy reports what boots by a boot catalog, which begins with a validation entry and the default entry; sections follow.
func bootedBy(catalog []byte) (bios, uefi bool) {
	if len(catalog) < 2*entrySize || catalog[0] != 1 || catalog[30] != 0x55 || catalog[31] != 0xaa {
		return false, false
	}
	note := func(platform byte, entry []byte) {
		bios = bios || platform == platformBIOS && entry[0] == entryBoots
		uefi = uefi || platform == platformUEFI && entry[0] == entryBoots
	}
	note(catalog[1], catalog[entrySize:])
	platform, inSection := byte(0), 0
	for at := 2 * entrySize; at+entrySize <= len(catalog); at += entrySize {
		switch entry := catalog[at:]; {
		case entry[0] == headerFollows || entry[0] == headerLast:
			platform, inSection = entry[1], int(binary.LittleEndian.Uint16(entry[2:]))
		case entry[0] == extension:
		case inSection > 0:
			note(platform, entry)
			inSection--
		default:
			return bios, uefi
		}
	}
	return bios, uefi
}
