package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/trial"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// Installation is what is to be installed, and how.
type Installation struct {
	Manager   vm.Manager
	Spec      bus.Group // vCPUs, memory and network of the machine
	DiskBytes uint64    // of the new disk
	ISO       string    // the medium, a file of this machine
	To        template.Target
	Steps     []Step
	Secrets   []string      // not shown
	OffWithin time.Duration // after the last step
	Keep      bool          // leave the machine where it fails
	Step      func(what string)
	Progress  func(done, total int64) // of the upload of the medium
}

// KeptError says that the machine of a failed installation is there still.
type KeptError struct {
	Cause     error
	VM, Group string
	URI       string
	Off       bool // it does not run, so it has no console until it is started
}

func (e *KeptError) Error() string {
	state, look := "", "console"
	if e.Off {
		state, look = ", and is off", "start --console"
	}
	return fmt.Sprintf("%s\nits machine is kept%s: virsh -c %s %s %s\n`vmscaler down %s` removes it",
		e.Cause, state, e.URI, look, e.VM, e.Group)
}

func (e *KeptError) Unwrap() error { return e.Cause }

// Run installs, and seals the disk as a template. The machine is removed with its volumes, however it ends, but where it fails
// and is to be kept.
func Run(ctx context.Context, i Installation) (template.Info, error) {
	if info, err := template.Lookup(i.Manager.Conn, i.To.Pool, i.To.Name); err == nil && info.Complete {
		return template.Info{}, fmt.Errorf("template %s: %w; choose another name", i.To.Name, template.ErrExists)
	} else if err != nil && !errors.Is(err, template.ErrNotFound) && !errors.Is(err, template.ErrBroken) {
		return template.Info{}, err
	}
	if err := i.hasRoom(ctx); err != nil {
		return template.Info{}, err
	}
	b := &builder{Installation: i}
	info, err := b.run(ctx)
	if err != nil && i.Keep && b.dom != nil && ctx.Err() == nil {
		return info, b.keep(err)
	}
	i.Step("removing the machine")
	_, removal := trial.RemoveGroup(ctx, i.Manager, b.meta.Group)
	b.free()
	return info, errors.Join(err, removal)
}

// hasRoom looks for the room of the medium and of a full disk: a pool that is full stops the VMs of others, too.
func (i Installation) hasRoom(ctx context.Context) error {
	st, err := os.Stat(i.ISO)
	if err != nil {
		return err
	}
	need := uint64(st.Size()) + i.DiskBytes
	if err := template.HasRoom(ctx, i.Manager.Conn, i.Manager.Pools.Disks, need, i.To.KeepFreeMiB); err != nil {
		return fmt.Errorf("the medium and a full disk: %w, or install into a smaller disk", err)
	}
	return nil
}

// builder is the machine of one installation: a VM of a group of its own, which names its volumes as all VMs do.
type builder struct {
	Installation
	meta bus.Metadata
	name string
	pool *libvirt.StoragePool
	dom  *libvirt.Domain

	player *Player // once the machine runs
}

func (b *builder) free() {
	if b.dom != nil {
		_ = b.dom.Free()
	}
	if b.pool != nil {
		_ = b.pool.Free()
	}
}

func (b *builder) run(ctx context.Context) (template.Info, error) {
	b.Step("making the machine")
	if err := b.define(); err != nil {
		return template.Info{}, err
	}
	disk, err := vm.CreateVolume(b.pool, b.meta.Volume, "", b.DiskBytes)
	if err != nil {
		return template.Info{}, err
	}
	_ = disk.Free()
	b.Step("uploading the medium")
	if err := template.PutFile(ctx, b.Manager.Conn, b.pool, b.meta.Seed, b.ISO, b.Progress); err != nil {
		return template.Info{}, err
	}
	if err := b.dom.Create(); err != nil {
		return template.Info{}, fmt.Errorf("start %s: %w", b.name, err)
	}
	if err := b.install(ctx); err != nil {
		return template.Info{}, err
	}
	b.Step("sealing its disk")
	from := template.Volume{Pool: b.meta.Pool, Name: b.meta.Volume}
	info, err := template.Seal(ctx, b.Manager.Conn, b.To, from, "installation medium "+filepath.Base(b.ISO), nil)
	return info, b.notSealed(ctx, err)
}

// notSealed adds to what is wrong with the disk how the installer ended.
func (b *builder) notSealed(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &StepError{"sealing its disk", err, b.player.Tail(tailLines)}
}

// define defines the domain. Its metadata names the volumes before they are made.
func (b *builder) define() (err error) {
	now, uuid := time.Now(), vm.NewUUID()
	b.Spec.Name, b.Spec.Template = bus.NewThrowAwayGroup(), ""
	b.name = bus.VMName(b.Spec.Name, 1)
	volume := bus.VolumeName(b.name, uuid)
	b.meta = bus.Metadata{
		Group: b.Spec.Name, UUID: uuid, Created: now, Phase: bus.PhaseLaunching, Since: now, Pool: b.Manager.Pools.Disks,
		Volume: volume, Seed: bus.SeedName(volume),
	}
	if b.pool, err = b.Manager.Conn.LookupStoragePoolByName(b.meta.Pool); err != nil {
		return fmt.Errorf("look up storage pool %q: %w", b.meta.Pool, err)
	}
	path, err := vm.VolumePath(b.pool, volume)
	if err != nil {
		return err
	}
	taken, err := vm.TakenMACs(b.Manager.Conn, "")
	if err != nil {
		return err
	}
	mac, err := vm.MACAddress(b.Manager.LibvirtID, b.Spec.Name, b.name, taken)
	if err != nil {
		return err
	}
	d := vm.Definition{Spec: b.Spec, Machine: b.Manager.Machine, Name: b.name, Meta: b.meta, DiskPath: path, MACs: []string{mac}}
	text, err := d.XML()
	if err != nil {
		return err
	}
	if text, err = withMedium(text); err != nil {
		return err
	}
	if b.dom, err = b.Manager.Conn.DomainDefineXMLFlags(text, 0); err != nil {
		return fmt.Errorf("define %s: %w", b.name, err)
	}
	return nil
}

// withMedium makes of a VM's definition that of a machine that starts from the medium, which is in the place of the seed, for
// as long as nothing is on its disk. When an installer restarts it, it is off.
func withMedium(definition string) (string, error) {
	var d libvirtxml.Domain
	if err := d.Unmarshal(definition); err != nil {
		return "", fmt.Errorf("define the machine: %w", err)
	}
	if d.OS == nil || d.Devices == nil || len(d.Devices.Disks) != 2 {
		return "", errors.New("define the machine: want two disks")
	}
	medium := &d.Devices.Disks[1]
	medium.Device, medium.Target = "cdrom", &libvirtxml.DomainDiskTarget{Dev: "hda", Bus: "ide"}
	d.OS.BootDevices = []libvirtxml.DomainBootDevice{{Dev: "hd"}, {Dev: "cdrom"}}
	d.OnReboot = "destroy"
	text, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("define the machine: %w", err)
	}
	return text, nil
}

// install plays the script, and waits until the machine is off.
func (b *builder) install(ctx context.Context) error {
	c, err := console.Take(b.Manager.Conn, b.dom)
	if err != nil {
		return err
	}
	defer c.Close()
	b.player = NewPlayer(b.Steps, b.Secrets...)
	if err := drive(ctx, c, b.player, b.Step); err != nil {
		return err
	}
	b.Step("waiting until it is off")
	return b.awaitOff(ctx, c, b.player)
}

func (b *builder) awaitOff(ctx context.Context, c *console.Console, p *Player) error {
	late := fmt.Errorf("it was not off within %s", b.OffWithin)
	limited, cancel := context.WithTimeoutCause(ctx, b.OffWithin, late)
	defer cancel()
	buf := make([]byte, 16<<10)
	for {
		n, err := c.Read(limited, buf) // so that the last lines are known
		if err == nil {
			_, _ = p.Feed(buf[:n]) // all steps are over: nothing is typed
		}
		state, _, stateErr := b.dom.GetState()
		switch {
		case stateErr != nil:
			return fmt.Errorf("read the state of %s: %w", b.name, stateErr)
		case state == libvirt.DOMAIN_SHUTOFF:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case limited.Err() != nil:
			return &StepError{"waiting until it is off", context.Cause(limited), p.Tail(tailLines)}
		case err != nil: // the console has ended: the machine is about to be off
			select {
			case <-limited.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// keep marks the machine so that no sweep removes it.
func (b *builder) keep(cause error) error {
	defer b.free()
	one := vm.VM{Name: b.name, UUID: b.meta.UUID, Meta: b.meta}
	if err := vm.Protect(b.Manager.Conn, one, bus.Protection{On: true}); err != nil {
		return errors.Join(cause, err)
	}
	uri, err := b.Manager.Conn.GetURI()
	if err != nil {
		uri = os.Getenv("LIBVIRT_DEFAULT_URI")
	}
	state, _, err := b.dom.GetState()
	return &KeptError{cause, b.name, b.meta.Group, uri, err == nil && state == libvirt.DOMAIN_SHUTOFF}
}
