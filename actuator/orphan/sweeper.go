package orphan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

// DefaultGrace is how long an orphan is as it is before anything is done about it.
const DefaultGrace = 5 * time.Minute

// Sweeper sweeps for a person.
type Sweeper struct {
	conn    *libvirt.Connect
	records *Records
	pools   vm.Pools
}

// NewSweeper makes one of the records that an actuator keeps in a folder for the libvirt called id, at a URI.
func NewSweeper(conn *libvirt.Connect, records *Records, pools vm.Pools) (*Sweeper, error) {
	if records != nil {
		if _, err := os.ReadDir(records.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("records of what was made: %w", err)
		}
	}
	return &Sweeper{conn, records, pools}, nil
}

// List is the orphans, judged by the age of records and files alone.
func (s *Sweeper) List(grace time.Duration) ([]Orphan, error) {
	inv, err := vm.ReadInventory(s.conn)
	if err != nil {
		return nil, err
	}
	found, err := Read(s.conn, s.records, s.pools, inv.Owned)
	if err != nil {
		return nil, err
	}
	if _, known := found.Pools[s.pools.Disks]; !known {
		return nil, fmt.Errorf("storage pool %q is not there, not active, or busy", s.pools.Disks)
	}
	return Find(found, time.Now(), grace, nil), nil
}

// Delete deletes the volume of an orphan that may be deleted, and reports whether it did. Its record stays: the next
// actuator finds it, and says the VM's end. The caller holds the lock.
func (s *Sweeper) Delete(o Orphan) (deleted bool, err error) {
	if o.Action != Delete {
		return false, fmt.Errorf("%s is left alone: %s", o.Path, o.Why)
	}
	d, err := DeleteVolume(s.conn, s.records, o.VolumeRecord)
	return d.Deleted, err
}
