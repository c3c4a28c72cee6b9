package template

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// ErrExists is returned when the pool has a complete template of that name.
var ErrExists = errors.New("template exists already")

const (
	// uploadChunk is what one message of libvirt's stream protocol carries at most.
	uploadChunk = 256 * 1024

	// After an upload libvirt refreshes the pool by itself for a moment, during
	// which it refuses to do so again.
	refreshTries = 50
	refreshPause = 100 * time.Millisecond

	// claimWatch is how long an incomplete upload is watched before it is taken
	// for dead: a living one sends a chunk every few milliseconds.
	claimWatch = 5 * time.Second
)

// Upload makes the volume of a new template in a storage pool from a qcow2
// file, over the connection: the pool may be on another host. It returns
// ErrExists if the template is there already.
//
// libvirt can neither rename volumes nor tell a half-written one from a whole
// one (a qcow2 file's header comes first). So a marker, an empty volume beside
// it, exists for as long as the template is incomplete: it is created first and
// deleted last. What a killed upload leaves behind still has its marker, and the
// next upload of that name replaces it. libvirt would let it delete a volume
// that another client is writing to, so it first watches for some seconds
// whether the volume still grows; then the answer is an error.
//
// On an error or the end of ctx, the volumes that this call made are deleted,
// and no others.
func Upload(ctx context.Context, conn *libvirt.Connect, to Target, file string, progress func(done, total int64)) error {
	s, err := openSource(file)
	if err != nil {
		return fmt.Errorf("upload template %s: %w", to.Name, err)
	}
	return errors.Join(uploadSource(ctx, conn, to, s, progress), s.close())
}

// Target is where a template goes.
type Target struct {
	Pool, Name  string
	KeepFreeMiB int // what must be left free in the pool
}

func (t Target) keep() uint64 { return uint64(max(t.KeepFreeMiB, 0)) * mibBytes }

func uploadSource(ctx context.Context, conn *libvirt.Connect, to Target, s *source, progress func(done, total int64)) error {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if err := upload(ctx, conn, to, s, progress, watchUpload); err != nil {
		return fmt.Errorf("upload template %s: %w", to.Name, err)
	}
	return nil
}

// upload is Upload with the wait for a sign of life injected.
func upload(
	ctx context.Context,
	conn *libvirt.Connect,
	to Target,
	s *source,
	progress func(done, total int64),
	watch func(context.Context) error,
) (err error) {
	name := to.Name
	p, err := openTarget(ctx, conn, to, s)
	if err != nil {
		return err
	}
	defer p.Free()
	marker, err := claim(ctx, p, name, watch)
	if err != nil {
		return err
	}
	defer marker.Free()
	// Nothing was written under the template's name unless the volume exists:
	// then the marker stays for as long as that does.
	defer func() {
		if err != nil {
			err = errors.Join(err, release(p, marker, name))
		}
	}()
	if err := deleteByName(p, RecordName(name)); err != nil { // of a template that somebody has deleted
		return err
	}
	mode, err := volumeMode(conn)
	if err != nil {
		return err
	}
	volume, err := createVolume(p, VolumeName(name), uint64(s.size), mode)
	if err != nil {
		return err
	}
	defer volume.Free()
	defer func() {
		if err != nil {
			err = errors.Join(err, deleteVolume(volume))
		}
	}()
	digest := sha256.New()
	if err := send(ctx, conn, volume, io.TeeReader(s.reader(), digest), s.size, progress); err != nil {
		return err
	}
	if err := s.unchanged(); err != nil {
		return err
	}
	if err := RefreshPool(ctx, p); err != nil {
		return err
	}
	if err := verify(volume, s.disk.capacity); err != nil {
		return err
	}
	if s.origin != nil {
		r := *s.origin
		r.Version, r.Size, r.Capacity, r.SHA256 = recordVersion, uint64(s.size), s.disk.capacity, hex.EncodeToString(digest.Sum(nil))
		if err := writeRecord(ctx, conn, p, name, r); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, deleteByName(p, RecordName(name)))
			}
		}()
	}
	return deleteVolume(marker)
}

// openTarget opens the pool that a template is to be in. It refuses an image, or a pool, that does not do for one.
func openTarget(ctx context.Context, conn *libvirt.Connect, to Target, s *source) (*libvirt.StoragePool, error) {
	if err := CheckName(to.Name); err != nil {
		return nil, err
	}
	if s.disk.format != "qcow2" {
		return nil, fmt.Errorf("%s is a %s, want a qcow2 image; import it instead", s.path, s.disk.kind())
	}
	p, err := openPool(conn, to.Pool)
	if err != nil {
		return nil, err
	}
	err = checkPoolKind(p, to.Pool)
	if err == nil {
		err = poolFits(ctx, p, to.Pool, uint64(s.size), to.keep())
	}
	if err != nil {
		p.Free()
		return nil, err
	}
	return p, nil
}

// claim creates the marker, or takes over that of an interrupted upload, whose
// volume it removes.
func claim(
	ctx context.Context,
	p *libvirt.StoragePool,
	name string,
	watch func(context.Context) error,
) (*libvirt.StorageVol, error) {
	before, err := observe(p, name)
	if err != nil {
		return nil, err
	}
	if before.marked {
		if err := watch(ctx); err != nil {
			return nil, err
		}
		after, err := observe(p, name)
		if err != nil {
			return nil, err
		}
		if after.marked && after != before {
			return nil, errors.New("another upload of it is running")
		}
		before = after // its upload may have ended meanwhile, either way
	}
	switch {
	case !before.marked && before.exists:
		return nil, fmt.Errorf("%w; choose another name", ErrExists)
	case !before.marked:
		// A removal that was cut off, or has just ended.
		if err := deleteByName(p, goingName(name)); err != nil {
			return nil, err
		}
		return createVolume(p, markerName(name), 0, "0600")
	}
	if err := deleteByName(p, VolumeName(name)); err != nil {
		return nil, fmt.Errorf("remove an interrupted upload: %w", err)
	}
	return p.LookupStorageVolByName(markerName(name))
}

// A sighting is what can be seen of a template in a pool at one time.
type sighting struct {
	marked     bool
	exists     bool
	allocation uint64 // bytes written so far
}

func observe(p *libvirt.StoragePool, name string) (sighting, error) {
	var s sighting
	marker, err := findVolume(p, markerName(name))
	if err != nil {
		return s, err
	}
	if marker != nil {
		marker.Free()
		s.marked = true
	}
	volume, err := findVolume(p, VolumeName(name))
	if err != nil || volume == nil {
		return s, err
	}
	defer volume.Free()
	info, err := volume.GetInfo() // looks at the file, unlike the volume's XML
	if err != nil {
		return s, fmt.Errorf("look at volume %s: %w", VolumeName(name), err)
	}
	s.exists, s.allocation = true, info.Allocation
	return s, nil
}

// deleteByName deletes a volume if there is one.
func deleteByName(p *libvirt.StoragePool, name string) error {
	v, err := findVolume(p, name)
	if err != nil || v == nil {
		return err
	}
	defer v.Free()
	return deleteVolume(v)
}

// CheckNew reports what keeps a template of a name from being made, before any work is done for it: ErrExists, or the pool.
func CheckNew(conn *libvirt.Connect, to Target) error {
	if err := refuseExisting(conn, to.Pool, to.Name); err != nil {
		return fmt.Errorf("template %q: %w", to.Name, err)
	}
	return nil
}

// refuseExisting returns ErrExists if Upload would.
func refuseExisting(conn *libvirt.Connect, pool, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	p, err := openPool(conn, pool)
	if err != nil {
		return err
	}
	defer p.Free()
	if err := checkPoolKind(p, pool); err != nil {
		return err
	}
	info, err := Lookup(conn, pool, name)
	switch {
	case err == nil && info.Going:
		return fmt.Errorf("%w, and was being removed: `vmscaler template rm %s` ends that", ErrExists, name)
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrBroken), err == nil && !info.Complete:
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w; choose another name", ErrExists)
}

// release deletes the marker unless a volume is still there for it to mark.
func release(p *libvirt.StoragePool, marker *libvirt.StorageVol, name string) error {
	volume, err := findVolume(p, VolumeName(name))
	if err != nil {
		return err
	}
	if volume != nil {
		volume.Free()
		return nil
	}
	return deleteVolume(marker)
}

// volumeMode is the file mode of a template: read-only for everyone. A session
// daemon is an ordinary user, who could not write the upload into such a file.
func volumeMode(conn *libvirt.Connect) (string, error) {
	uri, err := conn.GetURI()
	if err != nil {
		return "", fmt.Errorf("ask for the connection's URI: %w", err)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("connection's URI: %w", err)
	}
	if strings.HasSuffix(u.Path, "/session") {
		return "0644", nil
	}
	return "0444", nil
}

// createVolume makes a sparse volume of size bytes. It is raw: the upload brings
// its own format, which libvirt finds out on the refresh.
func createVolume(p *libvirt.StoragePool, name string, size uint64, mode string) (*libvirt.StorageVol, error) {
	x := libvirtxml.StorageVolume{
		Name:       name,
		Capacity:   &libvirtxml.StorageVolumeSize{Value: size},
		Allocation: &libvirtxml.StorageVolumeSize{Value: 0},
		Target: &libvirtxml.StorageVolumeTarget{
			Format:      &libvirtxml.StorageVolumeTargetFormat{Type: "raw"},
			Permissions: &libvirtxml.StorageVolumeTargetPermissions{Mode: mode},
		},
	}
	text, err := x.Marshal()
	if err != nil {
		return nil, fmt.Errorf("create volume %s: %w", name, err)
	}
	v, err := p.StorageVolCreateXML(text, 0)
	if err != nil {
		return nil, fmt.Errorf("create volume %s: %w", name, err)
	}
	return v, nil
}

func deleteVolume(v *libvirt.StorageVol) error {
	name, err := v.GetName()
	if err != nil {
		return fmt.Errorf("delete volume: %w", err)
	}
	if err := v.Delete(libvirt.STORAGE_VOL_DELETE_NORMAL); err != nil {
		return fmt.Errorf("delete volume %s: %w", name, err)
	}
	return nil
}

// RefreshPool has libvirt look at a pool's files again: until then it believes a volume to be what it was created as. libvirt
// refuses it while a volume is being made there, which takes moments; after five seconds, and for any other reason, that is an
// error.
func RefreshPool(ctx context.Context, p *libvirt.StoragePool) error {
	for try := 1; ; try++ {
		err := p.Refresh(0)
		if err == nil {
			return nil
		}
		if try == refreshTries || !errors.Is(err, libvirt.ERR_INTERNAL_ERROR) && !errors.Is(err, libvirt.ERR_OPERATION_INVALID) {
			return fmt.Errorf("refresh storage pool: %w", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(refreshPause):
		}
	}
}

// verify compares what libvirt sees in the volume with what was sent.
func verify(v *libvirt.StorageVol, capacity uint64) error {
	info, err := describe(v)
	if err != nil {
		return err
	}
	if info.Format != "qcow2" || info.Capacity != capacity {
		return fmt.Errorf(
			"volume %s arrived as %s of %d bytes, want qcow2 of %d bytes",
			info.Volume,
			info.Format,
			info.Capacity,
			capacity,
		)
	}
	return nil
}
