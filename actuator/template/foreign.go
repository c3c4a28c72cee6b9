package template

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Formats of other systems, which qemu-img converts. What refers to other files is refused by a look at its bytes, before
// qemu-img opens it.
const (
	formatVMDK = "vmdk"
	formatVDI  = "vdi"
	formatVHD  = "vpc"
	formatVHDX = "vhdx"
)

// maxForeign is the largest disk that is converted: a small file can describe one whose blocks would be walked through for days.
const maxForeign = 16 << 40

// A fixed VHD image is a raw one with a footer.
const (
	vhdFooter = 512
	vhdMagic  = "conectix"
)

// inspectForeign reports which of them a file is; "" if none. The error is what it needs besides itself.
func inspectForeign(head []byte, file io.ReaderAt, size int64) (string, error) {
	switch {
	case bytes.HasPrefix(head, []byte("KDMV")):
		return formatVMDK, vmdkAlone(head)
	case len(head) > 0x44 && bytes.HasPrefix(head[0x40:], []byte("\x7f\x10\xda\xbe")):
		return formatVDI, vdiAlone(head)
	case bytes.HasPrefix(head, []byte("vhdxfile")):
		return formatVHDX, nil // QEMU refuses one with a parent
	case bytes.HasPrefix(head, []byte(vhdMagic)) && len(head) >= vhdFooter:
		return formatVHD, vhdAlone(head[:vhdFooter])
	case size > vhdFooter:
		footer := make([]byte, vhdFooter)
		if _, err := file.ReadAt(footer, size-vhdFooter); err == nil && bytes.HasPrefix(footer, []byte(vhdMagic)) {
			return formatVHD, vhdAlone(footer)
		}
	}
	return "", nil
}

// vmdkAlone refuses a VMDK image with a parent, or whose descriptor lists other files: QEMU would open what they name.
func vmdkAlone(head []byte) error {
	const (
		capacityAt   = 12
		descriptorAt = 512
		descriptor   = 20 * 512 // that QEMU reads
	)
	if len(head) < descriptorAt {
		return &formatError{reason: "is a VMDK image that was cut off"}
	}
	if binary.LittleEndian.Uint64(head[capacityAt:]) == 0 {
		return &formatError{
			reason: "is a VMDK image whose content is in other files, without which it is incomplete", convert: formatVMDK,
		}
	}
	if bytes.Contains(head[descriptorAt:min(len(head), descriptorAt+descriptor)], []byte("parentFileNameHint")) {
		return &formatError{reason: "is a VMDK image with a parent, without which it is incomplete", convert: formatVMDK}
	}
	return nil
}

// vdiAlone refuses a VDI image of differences to a parent.
func vdiAlone(head []byte) error {
	const linkAt, parentAt, end = 0x1a8, 0x1b8, 0x1c8 // two UUIDs
	if len(head) < end {
		return &formatError{reason: "is a VDI image that was cut off"}
	}
	for _, at := range []int{linkAt, parentAt} {
		if len(bytes.Trim(head[at:at+16], "\x00")) > 0 {
			return &formatError{reason: "is a VDI image with a parent, without which it is incomplete", convert: formatVDI}
		}
	}
	return nil
}

// vhdAlone takes a fixed or dynamic VHD image.
func vhdAlone(footer []byte) error {
	const typeAt, fixed, dynamic, differencing = 60, 2, 3, 4
	switch kind := binary.BigEndian.Uint32(footer[typeAt:]); kind {
	case fixed, dynamic:
		return nil
	case differencing:
		return &formatError{reason: "is a VHD image with a parent, without which it is incomplete", convert: formatVHD}
	default:
		return &formatError{reason: fmt.Sprintf("is a damaged VHD image: type %d, want 2 (fixed) or 3 (dynamic)", kind)}
	}
}

// imageSpec is an image that a tool is given open, as QEMU takes it: with its format, which is never guessed, and nothing below
// it.
func imageSpec(format string) string {
	return `json:{"driver":"` + format + `","file":{"driver":"file","filename":"` + sourcePath + `"},"backing":null}`
}

// checkForeign has QEMU read an image's header, and looks whether it means the file alone.
func checkForeign(ctx context.Context, s *source) error {
	text, err := look(ctx, s.file, "info", "--output=json", imageSpec(s.disk.format))
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	var info struct {
		Size     uint64 `json:"virtual-size"`
		Backing  string `json:"backing-filename"`
		Specific struct {
			Data struct {
				Extents []struct {
					Filename string `json:"filename"`
				} `json:"extents"`
			} `json:"data"`
		} `json:"format-specific"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return fmt.Errorf("%s: qemu-img info: %w", s.path, err)
	}
	others := info.Backing != ""
	for _, e := range info.Specific.Data.Extents {
		others = others || e.Filename != sourcePath
	}
	switch {
	case others:
		return fmt.Errorf("%s %w", s.path, &formatError{reason: "refers to other files, without which it is incomplete"})
	case info.Size == 0 || info.Size > maxForeign:
		return fmt.Errorf("%s %w", s.path, &formatError{
			reason: fmt.Sprintf("has a disk of %d bytes, want 1 to %d; convert it to qcow2 first", info.Size, uint64(maxForeign)),
		})
	}
	return nil
}
