package orphan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// longestRecord is far more than any has.
const longestRecord = 64 << 10

// readRecord reads a record, and refuses what this program did not write.
func readRecord(path string) (VolumeRecord, error) {
	var r VolumeRecord
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, longestRecord))
	if err != nil {
		return r, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("%s is no record: %w; left alone", path, err)
	}
	switch {
	case r.V != recordVersion:
		err = fmt.Errorf("version %d, want %d", r.V, recordVersion)
	case r.UUID == "" || filepath.Base(path) != r.UUID+".json":
		err = fmt.Errorf("it is of VM %q", r.UUID)
	case r.VM == "" || r.Volume != bus.VolumeName(r.VM, r.UUID) && !r.forItsEnd() ||
		r.Path != "" && filepath.Base(r.Path) != r.Volume:
		err = fmt.Errorf("volume %q at %q is not named for VM %q", r.Volume, r.Path, r.VM)
	case !r.othersAreNamed():
		err = fmt.Errorf("one of the volumes %q is not named for VM %q", r.volumes(), r.VM)
	case r.Group == "" || r.URI == "" || r.Pool == "" || r.Created.IsZero():
		err = errors.New("without group, libvirt URI, pool or creation time")
	}
	if err != nil {
		return r, fmt.Errorf("%s is no record: %w; left alone", path, err)
	}
	return r, nil
}

// forItsEnd reports whether a record authorizes nothing: it is of a VM that was found, which a person may have renamed since its
// volume was made.
func (r VolumeRecord) forItsEnd() bool {
	_, _, digits := volumeOf(r.Volume)
	return r.Path == "" && r.Template == "" && r.File == nil && len(r.Others) == 0 && len(r.UUID) > len(digits) &&
		digits != "" && r.UUID[:len(digits)] == digits
}

// othersAreNamed reports whether the further volumes are named as those of the VM.
func (r VolumeRecord) othersAreNamed() bool {
	own := bus.Metadata{Volume: r.Volume, Seed: bus.SeedName(r.Volume), Disks: bus.MaxDisks}.Volumes()[1:]
	return !slices.ContainsFunc(r.Others, func(o OtherVolume) bool { return !slices.Contains(own, o.Volume) })
}

func (b *Records) write(r VolumeRecord) error { return b.save(r.UUID+".json", r) }

func (b *Records) save(name string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode a record: %w", err)
	}
	if err := ownfile.Replace(filepath.Join(b.Dir, name), append(data, '\n')); err != nil {
		return unnamed("write a record", err)
	}
	return nil
}

// unnamed leaves the file's name out of an error, as it differs from VM to VM, and each reason is said once.
func unnamed(what string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s in %s: %w", what, filepath.Dir(path.Path), path.Err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
