package template

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"libvirt.org/go/libvirt"
)

// A record is what is kept of a template beside it in its pool, in a small volume of JSON text: where it came from, which nothing
// in the image tells. There it goes where the pool goes, and is there for every machine that reaches the pool. A template without
// one, such as one that an earlier version imported, is as good.
type record struct {
	Version      int       `json:"version"`
	Size         uint64    `json:"size"`     // bytes of the template's file; with another it is of another template
	Capacity     uint64    `json:"capacity"` // bytes of its disk, the same
	SHA256       string    `json:"sha256"`
	Source       string    `json:"source,omitempty"`
	SourceFormat string    `json:"source_format,omitempty"`
	SourceSHA256 string    `json:"source_sha256,omitempty"`
	Imported     time.Time `json:"imported"`
	Firmware     Firmware  `json:"firmware,omitempty"`
	CloudInit    CloudInit `json:"cloud_init,omitempty"`
}

const (
	recordVersion = 1
	recordSuffix  = ".json"
	maxRecord     = 16 * 1024
)

// RecordName is the storage volume that tells where a template came from. No template's own volume ends like that.
func RecordName(name string) string { return stem(name) + recordSuffix }

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// parseRecord reads a record, which anybody who may write to the pool can have written.
func parseRecord(text []byte) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, fmt.Errorf("read the template's record: %w", err)
	}
	switch {
	case r.Version != recordVersion:
		return record{}, fmt.Errorf("read the template's record: version %d, want %d", r.Version, recordVersion)
	case !sha256Pattern.MatchString(r.SHA256):
		return record{}, fmt.Errorf("read the template's record: sha256 %q, want 64 hexadecimal digits", r.SHA256)
	case r.SourceSHA256 != "" && !sha256Pattern.MatchString(r.SourceSHA256):
		return record{}, fmt.Errorf("read the template's record: source_sha256 %q, want 64 hexadecimal digits", r.SourceSHA256)
	case !r.Firmware.known():
		return record{}, fmt.Errorf("read the template's record: firmware %q, want bios, uefi or both", r.Firmware)
	case !r.CloudInit.known():
		return record{}, fmt.Errorf("read the template's record: cloud_init %q, want present or absent", r.CloudInit)
	}
	return r, nil
}

// tell adds to info what a record has, unless that is of another file.
func (r record) tell(info *Info) {
	if r.Size != info.Size || r.Capacity != info.Capacity {
		return
	}
	info.Source, info.SourceFormat, info.SourceSHA256 = r.Source, r.SourceFormat, r.SourceSHA256
	info.SHA256, info.Imported, info.Firmware, info.CloudInit = r.SHA256, r.Imported, r.Firmware, r.CloudInit
}

// writeRecord makes the volume of a record.
func writeRecord(ctx context.Context, conn *libvirt.Connect, p *libvirt.StoragePool, name string, r record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the template's record: %w", err)
	}
	if len(text) > maxRecord {
		return fmt.Errorf("write the template's record: it has %d bytes, want at most %d", len(text), maxRecord)
	}
	return putText(ctx, conn, p, RecordName(name), text)
}

// readRecord reads what a volume has; the error is for a person to see, and keeps nobody from using the template.
func readRecord(conn *libvirt.Connect, v *libvirt.StorageVol) (record, error) {
	text, err := getText(conn, v, maxRecord)
	if err != nil {
		return record{}, err
	}
	return parseRecord(text)
}

// putText makes a volume with a text, or none.
func putText(ctx context.Context, conn *libvirt.Connect, p *libvirt.StoragePool, name string, text []byte) error {
	mode, err := volumeMode(conn)
	if err != nil {
		return err
	}
	v, err := createVolume(p, name, uint64(len(text)), mode)
	if err != nil {
		return err
	}
	defer v.Free()
	if err := send(ctx, conn, v, bytes.NewReader(text), int64(len(text)), func(int64, int64) {}); err != nil {
		return errors.Join(err, deleteVolume(v))
	}
	return nil
}

// getText reads a volume of a text, of at most so many bytes.
func getText(conn *libvirt.Connect, v *libvirt.StorageVol, limit uint64) ([]byte, error) {
	stream, err := conn.NewStream(0)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	defer stream.Free()
	if err := v.Download(stream, 0, limit, 0); err != nil {
		return nil, fmt.Errorf("download volume: %w", err)
	}
	text := make([]byte, 0, 1024)
	buf := make([]byte, limit)
	for {
		n, err := stream.Recv(buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("download volume: %w", err), abort(stream))
		}
		text = append(text, buf[:n]...)
	}
	if err := stream.Finish(); err != nil {
		return nil, fmt.Errorf("download volume: %w", err)
	}
	return text, nil
}
