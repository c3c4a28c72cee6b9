package template

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
)

// InUseError means that a template stays, as VMs or other templates need its file.
type InUseError struct {
	Name  string
	Users []string // each for a person
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("template %s stays, as its file is needed by %s; remove these first", e.Name, strings.Join(e.Users, "; "))
}

// Remove deletes a template that nothing needs, complete or not; what needs it is an *InUseError, and the template stays as it
// was. users tells what needs its file beyond what libvirt shows, such as a VM that is about to be cloned from it; it may be nil.
//
// While it looks and deletes, a volume beside the template says so, and launches make no clone of it: one cannot come between the
// look and the deletion. What a killed removal leaves is ended by the next one.
func Remove(ctx context.Context, conn *libvirt.Connect, pool, name string, users func() ([]string, error)) error {
	r := removal{conn: conn, name: name, users: users, watch: watchUpload}
	return r.run(ctx, pool)
}

// watchUpload lets the time pass in which an upload that is alive shows itself.
func watchUpload(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(claimWatch):
		return nil
	}
}

// removal is one template that is being removed.
type removal struct {
	conn  *libvirt.Connect
	pool  *libvirt.StoragePool
	name  string
	path  string // of its file
	users func() ([]string, error)
	watch func(context.Context) error
}

func (r *removal) run(ctx context.Context, pool string) error {
	if err := CheckName(r.name); err != nil {
		return err
	}
	info, err := Lookup(r.conn, pool, r.name)
	if err != nil && !errors.Is(err, ErrBroken) {
		return err
	}
	if r.pool, err = openPool(r.conn, pool); err != nil {
		return err
	}
	defer r.pool.Free()
	if r.path = info.Path; r.path == "" { // a broken one
		if r.path, err = pathIn(r.pool, VolumeName(r.name)); err != nil {
			return fmt.Errorf("remove template %s: %w", r.name, err)
		}
	}
	if err := r.remove(ctx); err != nil {
		var used *InUseError
		if errors.As(err, &used) {
			return err
		}
		return fmt.Errorf("remove template %s: %w", r.name, err)
	}
	return nil
}

func (r *removal) remove(ctx context.Context) (err error) {
	if marker, err := findVolume(r.pool, markerName(r.name)); err != nil {
		return err
	} else if marker != nil { // an upload: nothing was ever cloned from it
		marker.Free()
		return r.removeUpload(ctx)
	}
	going, err := findVolume(r.pool, goingName(r.name))
	if err == nil && going == nil {
		going, err = createVolume(r.pool, goingName(r.name), 0, "0600")
	}
	if err != nil {
		return err
	}
	defer going.Free()
	defer func() { err = errors.Join(err, gone(going.Delete(libvirt.STORAGE_VOL_DELETE_NORMAL))) }()
	if err := r.refuseUsed(); err != nil {
		return err
	}
	if err := deleteByName(r.pool, RecordName(r.name)); err != nil {
		return err
	}
	v, err := findVolume(r.pool, VolumeName(r.name))
	if err != nil || v == nil {
		return err
	}
	defer v.Free()
	if err := gone(v.Delete(libvirt.STORAGE_VOL_DELETE_NORMAL)); err != nil {
		return fmt.Errorf("delete volume %s: %w", VolumeName(r.name), err)
	}
	return RefreshPool(ctx, r.pool) // libvirt keeps a volume whose file was gone before
}

// removeUpload removes what an upload has left that was cut off.
func (r *removal) removeUpload(ctx context.Context) error {
	marker, err := claim(ctx, r.pool, r.name, r.watch)
	if err != nil {
		return err
	}
	defer marker.Free()
	return deleteVolume(marker)
}

// refuseUsed returns an *InUseError if something needs the file of a template.
func (r *removal) refuseUsed() error {
	usage, err := ReadUsage(r.conn)
	if err != nil {
		return err
	}
	used := &InUseError{Name: r.name}
	for _, c := range usage.Clones(r.path) {
		used.Users = append(used.Users, c.String())
	}
	if r.users != nil {
		more, err := r.users()
		if err != nil {
			return err
		}
		used.Users = append(used.Users, more...)
	}
	if len(used.Users) > 0 {
		return used
	}
	return nil
}

// gone takes a volume that is not there for deleted.
func gone(err error) error {
	if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
		return nil
	}
	return err
}

// pathIn is where a volume of a pool is, also one whose file is gone.
func pathIn(p *libvirt.StoragePool, volume string) (string, error) {
	v, err := findVolume(p, volume)
	if err != nil {
		return "", err
	}
	if v == nil {
		return "", fmt.Errorf("volume %s is gone", volume)
	}
	defer v.Free()
	return v.GetPath()
}
