package staging

import (
	"context"
	"errors"
	"fmt"
	"io"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/checksum"
)

// Pool is where a host's templates are. Its methods are safe for concurrent use.
type Pool interface {
	// Look reads what there is of some templates; those that are not there are left out.
	Look(ctx context.Context, names []string) (map[string]template.Info, error)
	// HasRoomFor is an error where a file that comes does not fit in.
	HasRoomFor(ctx context.Context, a template.Arrival) error
	// Open opens a template's file for reading.
	Open(ctx context.Context, name string) (io.ReadSeekCloser, error)
	// Import makes a template of a qcow2 file, as it is. That it is there already is no error; [template.ErrNoRoom] is one.
	Import(ctx context.Context, name string, image template.Image, warn func(string)) error
}

// LibvirtPool is a storage pool of libvirt's. Each call has a connection of its own, so that one that hangs holds up no other.
type LibvirtPool struct {
	Name        string
	KeepFreeMiB int // what must be left free in it
	Dial        func(context.Context) (*libvirt.Connect, error)
}

func (p LibvirtPool) dial(ctx context.Context) (*libvirt.Connect, func(), error) {
	lv, err := p.Dial(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("reach libvirt: %w", err)
	}
	return lv, func() { _, _ = lv.Close() }, nil
}

// Look is that of [Pool].
func (p LibvirtPool) Look(ctx context.Context, names []string) (map[string]template.Info, error) {
	lv, done, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return template.LookupAll(lv, p.Name, names)
}

// HasRoomFor is that of [Pool].
func (p LibvirtPool) HasRoomFor(ctx context.Context, a template.Arrival) error {
	lv, done, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer done()
	return template.HasRoomFor(ctx, lv, p.Name, a, p.KeepFreeMiB)
}

// Open is that of [Pool].
func (p LibvirtPool) Open(ctx context.Context, name string) (io.ReadSeekCloser, error) {
	lv, done, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	file, err := template.Open(lv, p.Name, name)
	if err != nil {
		done()
		return nil, err
	}
	return connected{file, done}, nil
}

// connected is a file with the connection that it is read over.
type connected struct {
	*template.Reader
	done func()
}

func (c connected) Close() error {
	defer c.done()
	return c.Reader.Close()
}

// Import is that of [Pool].
func (p LibvirtPool) Import(ctx context.Context, name string, image template.Image, warn func(string)) error {
	lv, done, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer done()
	to := template.Target{Pool: p.Name, Name: name, KeepFreeMiB: p.KeepFreeMiB}
	if _, err := template.Import(ctx, lv, to, image, template.Report{Warn: warn}); !errors.Is(err, template.ErrExists) {
		return err
	}
	return nil
}

var _ Pool = LibvirtPool{}

// wanting is an image as it must be.
func wanting(file, digest, host string) template.Image {
	return template.Image{File: file, Source: "host " + host, Digests: checksum.Digests{SHA256: digest}}
}
