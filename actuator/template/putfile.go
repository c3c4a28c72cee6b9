package template

import (
	"context"
	"errors"
	"fmt"
	"os"

	"libvirt.org/go/libvirt"
)

// PutFile makes a volume with the content of a file of this machine, or none. It is no template: whoever calls it says whose it
// is. progress may be nil.
func PutFile(
	ctx context.Context,
	conn *libvirt.Connect,
	p *libvirt.StoragePool,
	name, path string,
	progress func(done, total int64),
) (err error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := mustBeRegular(path, st); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	v, err := createVolume(p, name, uint64(st.Size()), "0600")
	if err != nil {
		return err
	}
	defer v.Free()
	if err := send(ctx, conn, v, f, st.Size(), progress); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), deleteVolume(v))
	}
	return nil
}
