package template

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// copyTo has libvirt copy the volume into a new one. The call cannot be broken off: what it made is deleted after it then. What
// is compressed is copied by this process, which keeps it so.
func (s *sealed) copyTo(ctx context.Context, to Target) error {
	if err := refuseExisting(s.conn, to.Pool, to.Name); err != nil {
		return err
	}
	p, err := openPool(s.conn, to.Pool)
	if err != nil {
		return err
	}
	defer p.Free()
	need, err := s.fits(ctx, p, to)
	if err != nil {
		return err
	}
	if packed, err := s.compressed(ctx); err != nil {
		return err
	} else if packed {
		return s.compressTo(ctx, to, need)
	}
	marker, err := claim(ctx, p, to.Name, watchUpload)
	if err != nil {
		return err
	}
	defer marker.Free()
	if err := s.copyInto(ctx, p, to.Name); err != nil {
		return errors.Join(err, release(p, marker, to.Name))
	}
	return deleteVolume(marker)
}

// fits is how many bytes the copy may take; they are an error where there is no room for them.
func (s *sealed) fits(ctx context.Context, p *libvirt.StoragePool, to Target) (need uint64, err error) {
	if s.desc.Capacity == nil {
		return 0, fmt.Errorf("the size of volume %s is not known", s.desc.Name)
	}
	if need, err = flatSize(ctx, s.path(), s.desc.Target.Format.Type, s.desc.Capacity.Value); err != nil {
		return 0, err
	}
	return need, poolFits(ctx, p, to.Pool, need, to.keep())
}

// copyInto makes the copy with its record, or leaves nothing.
func (s *sealed) copyInto(ctx context.Context, p *libvirt.StoragePool, name string) (err error) {
	if err := deleteByName(p, RecordName(name)); err != nil { // of a template that somebody has deleted
		return err
	}
	mode, err := volumeMode(s.conn)
	if err != nil {
		return err
	}
	s.step("copying")
	v, err := copyVolume(p, s.vol, VolumeName(name), s.desc.Capacity.Value, mode)
	if err != nil {
		return err
	}
	defer v.Free()
	defer func() {
		if err != nil {
			err = errors.Join(err, deleteVolume(v))
		}
	}()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := RefreshPool(ctx, p); err != nil {
		return err
	}
	if err := verify(v, s.desc.Capacity.Value); err != nil {
		return err
	}
	s.step("checking the copy")
	path, err := v.GetPath()
	if err != nil {
		return fmt.Errorf("where volume %s is: %w", name, err)
	}
	seen, err := s.examined(ctx, path)
	if err != nil {
		return err
	}
	return s.record(ctx, p, v, name, seen)
}

// record keeps what is known of the template that v is now.
func (s *sealed) record(ctx context.Context, p *libvirt.StoragePool, v *libvirt.StorageVol, name string, seen content) error {
	info, err := describe(v)
	if err != nil {
		return err
	}
	sum, err := digest(ctx, s.conn, v)
	if err != nil {
		return err
	}
	r := record{
		Version: recordVersion, Size: info.Size, Capacity: info.Capacity, SHA256: sum,
		Source: s.source, SourceFormat: s.desc.Target.Format.Type, Imported: time.Now(), Firmware: seen.firmware, CloudInit: seen.cloud,
	}
	return writeRecord(ctx, s.conn, p, name, r)
}

func copyVolume(
	p *libvirt.StoragePool,
	from *libvirt.StorageVol,
	name string,
	capacity uint64,
	mode string,
) (*libvirt.StorageVol, error) {
	x := libvirtxml.StorageVolume{
		Name:     name,
		Capacity: &libvirtxml.StorageVolumeSize{Value: capacity, Unit: "bytes"},
		Target: &libvirtxml.StorageVolumeTarget{
			Format:      &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"},
			Compat:      "1.1",
			Permissions: &libvirtxml.StorageVolumeTargetPermissions{Mode: mode},
		},
	}
	text, err := x.Marshal()
	if err != nil {
		return nil, fmt.Errorf("create volume %s: %w", name, err)
	}
	v, err := p.StorageVolCreateXMLFrom(text, from, 0)
	if err != nil {
		return nil, fmt.Errorf("copy it to volume %s: %w", name, err)
	}
	return v, nil
}

// flatSize is at most how many bytes a disk takes as a qcow2 file of its own: measured where its file can be read here, else
// all of it.
func flatSize(ctx context.Context, path, format string, capacity uint64) (uint64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return capacity, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return measured(ctx, f, path, "-f", format, sourcePath)
}

// digest reads a volume's file through libvirt, as it may be of another machine.
func digest(ctx context.Context, conn *libvirt.Connect, v *libvirt.StorageVol) (string, error) {
	stream, err := conn.NewStream(0)
	if err != nil {
		return "", fmt.Errorf("open stream: %w", err)
	}
	defer stream.Free()
	if err := v.Download(stream, 0, 0, 0); err != nil { // 0 bytes are all
		return "", fmt.Errorf("read it for its digest: %w", err)
	}
	sum := sha256.New()
	buf := make([]byte, uploadChunk)
	for {
		n, err := stream.Recv(buf)
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", errors.Join(fmt.Errorf("read it for its digest: %w", err), abort(stream))
		}
		sum.Write(buf[:n])
	}
	if err := stream.Finish(); err != nil {
		return "", fmt.Errorf("read it for its digest: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
