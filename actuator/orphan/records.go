package orphan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// VolumeRecord is what an actuator keeps of a VM beside libvirt, until nothing of it is left and its end was said. It is
// what authorises that the VM's volume is deleted when somebody undefined its domain; and only if it has File, which
// says that the volume's file was made by us.
type VolumeRecord struct {
	V        int        `json:"v"`
	UUID     string     `json:"uuid"`
	VM       string     `json:"vm"`
	Group    string     `json:"group"`
	HostID   bus.HostID `json:"host_id"` // of the libvirt
	URI      string     `json:"uri"`     // libvirt's, as libvirt says it
	Host     string     `json:"host"`    // the same
	Pool     string     `json:"pool"`
	Volume   string     `json:"volume"`
	Path     string     `json:"path"`     // "" where the VM was made without a record, and this is for its end alone
	Template string     `json:"template"` // path of the volume's backing store
	Created  time.Time  `json:"created"`
	File     *FileID    `json:"file,omitempty"` // absent until the volume is made, and where its file cannot be looked at
	// Detached is when the VM was given away: the record authorises nothing any more, and is for its end alone. Absent: it was not.
	Detached *time.Time `json:"detached,omitempty"`
	// Ended is who has removed the VM with its disks while no actuator looked. Absent: nobody, or it is not known.
	Ended *Ended `json:"ended,omitempty"`
	// Others are the VM's further volumes, beside the one above.
	Others []OtherVolume `json:"others,omitempty"`
}

// Ended is what a record says of a VM that a person's command has removed.
type Ended struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

// Sentence says it in words.
func (e Ended) Sentence() string {
	return "taken down on " + e.At.UTC().Format(time.DateTime) + " UTC, " + bus.Attribution(e.By, e.Reason)
}

// OtherVolume is one more volume of a VM, such as its seed.
type OtherVolume struct {
	Volume  string  `json:"volume"`
	Backing string  `json:"backing,omitempty"` // path of its backing store; "": it has none
	File    *FileID `json:"file"`
}

// volumes are the names of those that the record is of.
func (r VolumeRecord) volumes() []string {
	all := []string{r.Volume}
	for _, o := range r.Others {
		all = append(all, o.Volume)
	}
	return all
}

// of is the record as it is of one of its volumes.
func (r VolumeRecord) of(volume string) (VolumeRecord, bool) {
	if volume == r.Volume {
		return r, true
	}
	for _, o := range r.Others {
		if o.Volume == volume {
			r.Path = filepath.Join(filepath.Dir(r.Path), volume)
			r.Volume, r.Template, r.File = volume, o.Backing, o.File
			return r, true
		}
	}
	return VolumeRecord{}, false
}

const recordVersion = 1

// FileID distinguishes a file from any other that had its path before or gets it later.
type FileID struct {
	Inode  uint64     `json:"inode"`
	Device uint64     `json:"device"`
	Born   *time.Time `json:"born,omitempty"` // absent where the file system does not say
}

// Same reports whether both are the same file. An inode number is used again, so its birth counts where it is known;
// the device's number may be another one after a reboot, so it counts where that is all there is.
func (f *FileID) Same(other *FileID) bool {
	switch {
	case f == nil || other == nil || f.Inode != other.Inode:
		return false
	case f.Born != nil && other.Born != nil:
		return f.Born.Equal(*other.Born)
	case f.Born != nil || other.Born != nil:
		return false
	}
	return f.Device == other.Device
}

// Identify looks at a file of this machine. It follows no symbolic link.
func Identify(path string) (*FileID, error) {
	var st unix.Statx_t
	const mask = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_BTIME
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, mask, &st); err != nil {
		return nil, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	id := &FileID{Inode: st.Ino, Device: unix.Mkdev(st.Dev_major, st.Dev_minor)}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.Born = new(time.Unix(st.Btime.Sec, int64(st.Btime.Nsec)).UTC())
	}
	return id, nil
}

// Records is the folder of an actuator's records. A nil one keeps none. Its methods may be called from any goroutine.
type Records struct {
	Dir, uri, host string
	id             bus.HostID
	Identify       func(path string) (*FileID, error) // nil where libvirt is on another machine
	log            zerolog.Logger

	mu   sync.Mutex
	said map[string]bool // what went wrong, said once
}

// NewRecords makes those of a folder, which need not be there yet, for the libvirt called id at a URI; "" is no folder: none are
// kept then.
func NewRecords(dir, uri string, id bus.HostID, host string, log zerolog.Logger) *Records {
	if dir == "" {
		return nil
	}
	b := &Records{Dir: dir, uri: uri, id: id, host: host, log: log, said: map[string]bool{}}
	if vm.IsLocal(uri) {
		b.Identify = Identify
	}
	return b
}

// Born is when a file was made; zero where its file system does not say, or it cannot be looked at from here.
func (b *Records) Born(path string) time.Time {
	if b == nil || b.Identify == nil {
		return time.Time{}
	}
	if id, err := b.Identify(path); err == nil && id.Born != nil {
		return *id.Born
	}
	return time.Time{}
}

// Begin keeps a record of a VM whose domain is defined. One that is there already stays, but for one of a VM that was given away
// and has come back.
func (b *Records) Begin(vm string, meta bus.Metadata, path, template string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := os.Lstat(b.file(meta.UUID)); err == nil {
		if before, err := readRecord(b.file(meta.UUID)); err != nil || before.Detached == nil {
			return
		}
	}
	b.warn(b.write(VolumeRecord{
		V: recordVersion, UUID: meta.UUID, VM: vm, Group: meta.Group, HostID: b.id, URI: b.uri, Host: b.host, Pool: meta.Pool,
		Volume: meta.Volume, Path: path, Template: template, Created: meta.Created.UTC(),
	}))
}

// Complete adds to a record which file a volume of its VM is, and the path of its backing store. It is called when the volume
// has just been made.
func (b *Records) Complete(uuid, volume, backing string) {
	if b == nil || b.Identify == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := readRecord(b.file(uuid))
	if errors.Is(err, fs.ErrNotExist) {
		return // it could not be written, which was said
	}
	if err == nil {
		var file *FileID
		if file, err = b.Identify(filepath.Join(filepath.Dir(r.Path), volume)); err == nil {
			r.complete(volume, backing, file)
			err = b.write(r)
		} else if errors.Is(err, fs.ErrNotExist) {
			// Libvirt has just made it, so its path is not one of this machine.
			b.warn(fmt.Errorf("the files in %s cannot be looked at from here, as when libvirt runs in a container: "+
				"the disk of a VM that a person undefines is named there, and not deleted", filepath.Dir(r.Path)))
			return
		}
	}
	if err != nil {
		b.warn(unnamed("complete a record", err))
	}
}

// complete notes the file of a volume. A VM that is given new disks gets them of what is its template then.
func (r *VolumeRecord) complete(volume, backing string, file *FileID) {
	if volume == r.Volume {
		r.File, r.Template = file, backing
		return
	}
	r.Others = slices.DeleteFunc(r.Others, func(o OtherVolume) bool { return o.Volume == volume })
	r.Others = append(r.Others, OtherVolume{volume, backing, file})
}

// Release notes, before a VM is given away, that its record authorizes nothing any more. An error means that it could not be
// noted: then the VM must stay.
func (b *Records) Release(uuid string) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := readRecord(b.file(uuid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.File, r.Detached = nil, new(time.Now().UTC())
	for i := range r.Others {
		r.Others[i].File = nil
	}
	return b.write(r)
}

// End notes that a VM of which nothing is left was removed by a person, for the actuator that says its end. An error means that
// nobody will know, such as where there is no record of it.
func (b *Records) End(uuid string, e Ended) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := readRecord(b.file(uuid))
	if err != nil {
		return err
	}
	r.Ended = &e
	return b.write(r)
}

// Drop takes a record away, after the end of its VM was said, and what a process has left of it that ended while it wrote it.
func (b *Records) Drop(uuid string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, path := range []string{b.file(uuid), ownfile.Unfinished(b.file(uuid))} {
		err := os.Remove(path)
		if err == nil {
			err = ownfile.SyncFolder(b.Dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.warn(unnamed("drop a record", err))
		}
	}
}

// Has reports whether there is a record of a VM.
func (b *Records) Has(uuid string) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := os.Lstat(b.file(uuid))
	return err == nil
}

// Read is all records of this libvirt. What else lies in the folder is said once and left alone.
func (b *Records) Read() []VolumeRecord {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, err := os.ReadDir(b.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.warn(err)
	}
	var all []VolumeRecord
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // being written, or cut off while it was
		}
		r, err := readRecord(filepath.Join(b.Dir, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // dropped by another process meanwhile
		case err != nil:
			b.warn(err)
		case r.HostID == b.id, r.HostID == "" && r.URI == b.uri && r.Host == b.host:
			all = append(all, r)
		}
	}
	return all
}

func (b *Records) file(uuid string) string { return filepath.Join(b.Dir, uuid+".json") }

// Report is warn for those who sweep.
func (b *Records) Report(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.warn(err)
}

// warn says once what is wrong. Nothing waits for a record: without one less is deleted, and that is all.
func (b *Records) warn(err error) {
	if err == nil || b.said[err.Error()] {
		return
	}
	b.said[err.Error()] = true
	b.log.Warn().Err(err).Msg("sweep")
}

// removalsFile is the file with the removals that the budget counts; the dot distinguishes it from a record.
const removalsFile = ".removals.json"

// KeepRemovals keeps when VMs that served were removed, by group, for the next start.
func (b *Records) KeepRemovals(at map[string][]time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.warn(b.save(removalsFile, at))
}

// Removals are those that keepRemovals has kept.
func (b *Records) Removals() map[string][]time.Time {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var at map[string][]time.Time
	data, err := os.ReadFile(filepath.Join(b.Dir, removalsFile))
	if err == nil {
		err = json.Unmarshal(data, &at)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.warn(unnamed("read what was removed", err))
		return nil
	}
	return at
}
