package template

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

const mibBytes = 1 << 20

// ErrNoRoom is what an error wraps where something does not fit.
var ErrNoRoom = errors.New("no room")

// fits reports whether so many bytes may be written to a place, such as "in x", and what to do where they may not.
func fits(place string, need, free, keep uint64, remedy string) error {
	if need <= free && free-need >= keep {
		return nil
	}
	kept := ""
	if keep > 0 {
		kept = fmt.Sprintf(", of which %d MiB are kept (pool_reserve)", keep/mibBytes)
	}
	return fmt.Errorf(
		"%w %s: it needs %d MiB, and %d MiB are free%s; %s",
		ErrNoRoom,
		place,
		need/mibBytes+min(need%mibBytes, 1),
		free/mibBytes,
		kept,
		remedy,
	)
}

// poolFits looks at the pool again, as libvirt's own figure is as old as its last refresh. That also has it forget volumes whose
// files are gone, which the new template may be to replace.
func poolFits(ctx context.Context, p *libvirt.StoragePool, name string, need, keep uint64) error {
	refreshed := RefreshPool(ctx, p)
	info, err := p.GetInfo()
	switch {
	case refreshed != nil && (ctx.Err() != nil || err != nil || info.State != libvirt.STORAGE_POOL_RUNNING):
		return refreshed
	case err != nil:
		return fmt.Errorf("read the free space of storage pool %q: %w", name, err)
	}
	return fitsAsRead(name, refreshed, need, info.Available, keep)
}

// fitsAsRead goes by what is read to be free also where the refresh before was refused, as while a volume is being made: that is
// an error in any case, and [ErrNoRoom] where even that is too little.
func fitsAsRead(pool string, refreshed error, need, free, keep uint64) error {
	err := fits(fmt.Sprintf("in storage pool %q", pool), need, free, keep, "free some there, or use a pool elsewhere")
	return cmp.Or(err, refreshed)
}

// HasRoom is an error where so many bytes do not fit into a pool, with keepMiB to be left free.
func HasRoom(ctx context.Context, conn *libvirt.Connect, pool string, need uint64, keepMiB int) error {
	p, err := openPool(conn, pool)
	if err != nil {
		return err
	}
	defer p.Free()
	return poolFits(ctx, p, pool, need, Target{KeepFreeMiB: keepMiB}.keep())
}

// Arrival is a file that comes into a folder of this machine, and goes from there into a pool.
type Arrival struct {
	Bytes uint64 // of the whole file
	Dir   string
	There uint64 // of these, that are in Dir already
}

// need is how many bytes it takes of the pool's file system, which the folder may be on too: for a while both have the file.
func (a Arrival) need(same bool) uint64 {
	if !same {
		return a.Bytes
	}
	return a.Bytes + a.Bytes - min(a.There, a.Bytes)
}

// HasRoomFor is an error where a file that comes does not fit into a pool, with keepMiB to be left free; [ErrNoRoom] says so.
func HasRoomFor(ctx context.Context, conn *libvirt.Connect, pool string, a Arrival, keepMiB int) error {
	p, err := openPool(conn, pool)
	if err != nil {
		return err
	}
	defer p.Free()
	need := a.need(sameFileSystem(a.Dir, poolFolder(p)))
	return poolFits(ctx, p, pool, need, Target{KeepFreeMiB: keepMiB}.keep())
}

// poolFolder is where a pool has its files, on its own host; "" where that is unknown.
func poolFolder(p *libvirt.StoragePool) string {
	text, err := p.GetXMLDesc(0)
	var x libvirtxml.StoragePool
	if err != nil || x.Unmarshal(text) != nil || x.Target == nil {
		return ""
	}
	return x.Target.Path
}

// sameFileSystem may take a folder of another machine for one of this one, and less fits then.
func sameFileSystem(a, b string) bool {
	var one, other unix.Stat_t
	return unix.Stat(a, &one) == nil && unix.Stat(b, &other) == nil && one.Dev == other.Dev
}

// room is how many bytes may be written to a folder of this machine beyond those that are kept; at least 0.
func room(dir string, keep uint64) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	free := st.Bavail * uint64(st.Bsize)
	return int64(min(free-min(free, keep), math.MaxInt64)), nil
}

// folderFits looks at a folder of this machine.
func folderFits(dir string, need, keep uint64) error {
	free, err := room(dir, 0)
	if err != nil {
		return err
	}
	return fits(
		"to convert it in "+filepath.Dir(dir),
		need,
		uint64(free),
		keep,
		"set TMPDIR to a folder with more, or convert it elsewhere: qemu-img convert -O qcow2",
	)
}
