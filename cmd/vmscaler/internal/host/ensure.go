package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// notDefined is said of what somebody has made for the moment.
const notDefined = ", and not defined: it is gone after a restart of the host"

// EnsurePool makes the storage pool exist and be active, now and after a reboot: a directory pool of its own below
// libvirt's images folder, which is where AppArmor's helper looks. It says what it did.
func EnsurePool(conn *libvirt.Connect, name, uri string) (string, error) {
	pool, err := conn.LookupStoragePoolByName(name)
	did := "active"
	if errors.Is(err, libvirt.ERR_NO_STORAGE_POOL) {
		id, idErr := Identify(conn, uri)
		if idErr != nil {
			return "", fmt.Errorf("storage pool %q: %w", name, idErr)
		}
		dir, dirErr := poolFolder(name, id, os.Geteuid())
		if dirErr != nil {
			return "", dirErr
		}
		pool, err = makePool(conn, name, dir)
		did = "made in " + dir
	}
	if err != nil {
		return "", fmt.Errorf("storage pool %q: %w", name, err)
	}
	defer func() { _ = pool.Free() }()
	active, err := pool.IsActive()
	if err != nil {
		return "", fmt.Errorf("storage pool %q: %w", name, err)
	}
	if !active {
		if err := pool.Create(0); err != nil {
			return "", fmt.Errorf("storage pool %q: start: %w", name, err)
		}
		if did == "active" {
			did = "started"
		}
	}
	kept, err := pool.IsPersistent()
	if err != nil {
		return "", fmt.Errorf("storage pool %q: %w", name, err)
	}
	if !kept { // libvirt has no definition that it could start it by
		return did + notDefined, nil
	}
	if err := pool.SetAutostart(true); err != nil {
		return "", fmt.Errorf("storage pool %q: start with the host: %w", name, err)
	}
	return did, nil
}

// makePool defines a pool and makes its folder.
func makePool(conn *libvirt.Connect, name, dir string) (*libvirt.StoragePool, error) {
	text, err := (&libvirtxml.StoragePool{
		Type: "dir", Name: name,
		Target: &libvirtxml.StoragePoolTarget{
			Path: dir,
			// As libvirt's own images folder: QEMU may pass through, nobody may list it.
			Permissions: &libvirtxml.StoragePoolTargetPermissions{Mode: "0711"},
		},
	}).Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	pool, err := conn.StoragePoolDefineXML(text, 0)
	if err != nil {
		return nil, fmt.Errorf("define: %w", err)
	}
	if err := pool.Build(libvirt.STORAGE_POOL_BUILD_NEW); err != nil {
		undo := pool.Undefine()
		_ = pool.Free()
		return nil, errors.Join(fmt.Errorf("make its folder: %w", err), undo)
	}
	return pool, nil
}

// poolFolder is where libvirt keeps images: the host's own for all, that of a user in the user's home. Another user's home is
// not known, and a folder in one's own is of no use there.
func poolFolder(name string, id Identity, euid int) (string, error) {
	switch {
	case !id.Session:
		return filepath.Join("/var/lib/libvirt/images", name), nil
	case id.SessionUID == 0:
		return "", fmt.Errorf(
			"storage pool %q does not exist, and this is a user's session on another host: make it there, with `vmscaler setup` as "+
				"that user, or let libvirt.pool name one that exists",
			name,
		)
	case id.SessionUID != euid:
		return "", fmt.Errorf(
			"storage pool %q does not exist, and this is the session of user id %d: make it as that user, with `vmscaler setup`, or "+
				"let libvirt.pool name one that exists",
			name,
			id.SessionUID,
		)
	}
	data := os.Getenv("XDG_DATA_HOME")
	if data == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("storage pool %q: %w", name, err)
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "libvirt", "images", name), nil
}

// EnsureNetwork makes a libvirt network active, now and after a reboot. Only "default" is made where it does not
// exist. It says what it did.
func EnsureNetwork(conn *libvirt.Connect, name, uri string) (string, error) {
	if name == bus.UserNetwork {
		return "user-mode, nothing to do", nil
	}
	net, err := conn.LookupNetworkByName(name)
	did := "active"
	if errors.Is(err, libvirt.ERR_NO_NETWORK) && name == "default" {
		net, err = conn.NetworkDefineXML(defaultNetwork)
		did = "made and started"
	}
	if err != nil {
		return "", fmt.Errorf("network %q: %w", name, err)
	}
	defer func() { _ = net.Free() }()
	active, err := net.IsActive()
	if err != nil {
		return "", fmt.Errorf("network %q: %w", name, err)
	}
	if !active {
		if err := net.Create(); err != nil {
			return "", fmt.Errorf("network %q: start: %w; see `vmscaler check` and `virsh -c %s net-edit %s`", name, err, uri, name)
		}
		if did == "active" {
			did = "started"
		}
	}
	kept, err := net.IsPersistent()
	if err != nil {
		return "", fmt.Errorf("network %q: %w", name, err)
	}
	if !kept {
		return did + notDefined, nil
	}
	if err := net.SetAutostart(true); err != nil {
		return "", fmt.Errorf("network %q: start with the host: %w", name, err)
	}
	return did, nil
}
