package vm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/seed"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// seedImage is what cloud-init reads in a new VM; nil where the group has nothing for it.
func seedImage(spec bus.Group, v seed.Values) ([]byte, error) {
	if !spec.CloudInit.Seeded() {
		return nil, nil
	}
	image, err := seed.Image(spec.CloudInit, v)
	if err != nil {
		return nil, fmt.Errorf("seed: %w", err)
	}
	return image, nil
}

// tellUnread reports that nothing in the guest reads the seed that the VM is given.
func (l *launch) tellUnread() {
	if why := l.tmpl.CloudInit.Unread(); why != "" && l.seed != nil {
		l.Tell(bus.Event{
			Group: l.spec.Name, Event: bus.EventIgnored,
			Sentence: fmt.Sprintf("template %s %s; %s", l.spec.Template, why, template.CloudInitRemedy),
		})
	}
}

// indexOf is the number in a VM's name.
func indexOf(name string) (int, error) {
	index, err := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
	if err != nil || index < 1 {
		return 0, fmt.Errorf("name of a VM: found %q, want one that ends in a number from 1", name)
	}
	return index, nil
}

// addSeed makes the volume with the seed, and writes it.
func (l *launch) addSeed(ctx context.Context) error {
	if l.seed == nil {
		return nil
	}
	vol, err := createSeedVolume(l.pool, l.meta.Seed, len(l.seed))
	if err != nil {
		return err
	}
	l.made(vol, l.meta.Seed, "")
	if err := l.Calls.act(ctx, "upload-seed", func() error { return upload(l.Conn, vol, l.seed) }); err != nil {
		return fmt.Errorf("write volume %s: %w", l.meta.Seed, err)
	}
	return nil
}

func createSeedVolume(pool *libvirt.StoragePool, name string, bytes int) (*libvirt.StorageVol, error) {
	x := libvirtxml.StorageVolume{
		Name:     name,
		Capacity: &libvirtxml.StorageVolumeSize{Value: uint64(bytes), Unit: "bytes"},
		Target: &libvirtxml.StorageVolumeTarget{
			Format: &libvirtxml.StorageVolumeTargetFormat{Type: "raw"},
			// It may hold passwords: only the hypervisor, which takes over the file when it opens it, and root.
			Permissions: &libvirtxml.StorageVolumeTargetPermissions{Mode: "0600"},
		},
	}
	text, err := x.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode volume %s: %w", name, err)
	}
	vol, err := pool.StorageVolCreateXML(text, 0)
	if err != nil {
		return nil, fmt.Errorf("create volume %s: %w", name, err)
	}
	return vol, nil
}

// upload writes all of a volume.
func upload(conn *libvirt.Connect, vol *libvirt.StorageVol, data []byte) error {
	stream, err := conn.NewStream(0)
	if err != nil {
		return fmt.Errorf("open a stream: %w", err)
	}
	defer func() { _ = stream.Free() }()
	if err := vol.Upload(stream, 0, uint64(len(data)), 0); err != nil {
		return err
	}
	for len(data) > 0 {
		n, err := stream.Send(data)
		if err != nil {
			return errors.Join(err, stream.Abort())
		}
		data = data[n:]
	}
	return stream.Finish()
}
