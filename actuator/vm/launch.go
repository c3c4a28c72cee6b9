package vm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/actuator/seed"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/tracing"
)

// agentTimeout bounds one command of a guest agent that is connected but does not answer.
const agentTimeout = 5 * time.Second

// Recorder keeps, beside libvirt, what was made, so that a volume whose domain a person undefines is known as vmscaler's.
type Recorder interface {
	// Begin keeps a record of a VM whose domain is defined; its volume will be at path, a clone of template.
	Begin(vm string, meta bus.Metadata, path, template string)
	// Complete adds which file a volume of the VM is, which has just been made with the file at backing as its backing store;
	// "" is none.
	Complete(uuid, volume, backing string)
	// Born is when a file was made; zero where that is not known.
	Born(path string) time.Time
	// Release notes that a VM is given away; an error means that it is not noted.
	Release(uuid string) error
}

// Pools are the names of the storage pools that VMs are made in and from; they may be one.
type Pools struct {
	Templates string
	Disks     string // the clones, whose backing stores are in the other one
}

// Manager is one libvirt connection and what VMs are made from on it.
type Manager struct {
	Conn  *libvirt.Connect
	Pools Pools
	// PoolReserveMiB stays free in the pool of disks when a VM's memory is saved.
	PoolReserveMiB int
	Machine        Machine
	// tell publishes a lifecycle event; the callee fills in what the event does not say.
	Tell func(bus.Event)
	// hooks are who waits, and host is the host's name. They may be unset where no VM has a hook.
	Hooks *Hooks
	Host  string
	// end publishes the last event of a VM, and ends its record; nil where there are no records.
	End     func(uuid string, e bus.Event)
	Records Recorder // nil keeps none
	// Consoles keeps what VMs print while they boot; nil keeps nothing.
	Consoles *console.Keeper
	Calls    *Calls
	// libvirtID distinguishes this libvirt from others on the same network. One without the firmware's UUID makes it up at each
	// start, so that only what is made anew with each VM may be of it.
	LibvirtID string
	// HostID is the host's own, which stays the same, and by which volumes are named that outlive their VMs.
	HostID bus.HostID
}

// Launch makes one VM of a group and waits until it is ready. Its order leaves, at whatever moment it is cut off,
// a domain that names what belongs to it: define, create the volume, start. A step that fails undoes what was
// done; when ctx ends everything stays as it is.
func (h Manager) Launch(ctx context.Context, spec bus.Group, name, uuid, decision string) error {
	l := h.newLaunch(spec, name, uuid, decision)
	defer l.free()
	if err := l.prepare(ctx); err != nil {
		return err
	}
	return l.run(ctx)
}

func (h Manager) newLaunch(spec bus.Group, name, uuid, decision string) *launch {
	start := time.Now()
	machine, storage := spec.MachineHash(), spec.StorageHash() // as other stages have the spec
	spec = h.Machine.resolve(spec)
	l := &launch{Manager: h, spec: spec, name: name, decision: decision, meta: bus.Metadata{
		Group: spec.Name, Template: spec.Template, UUID: uuid, Created: start, Phase: bus.PhaseCreating, Since: start,
		Pool: h.Pools.Disks, Volume: bus.VolumeName(name, uuid), Machine: machine, Storage: storage,
		Disks: len(spec.Disks),
	}}
	for i, disk := range spec.Disks {
		if disk.Keep != bus.KeepNever {
			volume := bus.KeptName(h.HostID, name, i+1)
			l.meta.Kept = append(l.meta.Kept, bus.KeptDisk{Disk: i + 1, Keep: disk.Keep, Volume: volume})
		}
	}
	if spec.CloudInit.Seeded() {
		l.meta.Seed = bus.SeedName(l.meta.Volume)
	}
	return l
}

// run goes through the steps of a launch that is prepared.
func (l *launch) run(ctx context.Context) error {
	l.tellUnread()
	start := time.Now()
	var steps tracing.Steps
	for _, s := range []struct {
		do      func(context.Context) error
		name    string // in traces; "": its steps have names of their own
		reached string // its failpoint
		event   bus.EventType
		says    string
	}{
		{l.define, "define", stepDefined, bus.EventCreating, "defined from template " + l.spec.Template},
		{l.clone, "clone", stepCloned, "", ""},
		{l.addDisks, "disks", stepDisked, "", ""},
		{l.addSeed, "seed", stepSeeded, "", ""},
		{l.mark, "mark", stepMarked, "", ""},
		{l.start, "start", stepStarted, bus.EventStarted, "cloned and started"},
		{l.awaitReady, "", "", "", ""},
	} {
		steps.Next(ctx, s.name)
		err := s.do(ctx)
		steps.End(err)
		if err != nil {
			return l.undo(ctx, err)
		}
		if s.reached != "" {
			step(s.reached)
			if ctx.Err() != nil { // as when a call was given up, and has returned after all
				return context.Cause(ctx)
			}
		}
		if s.event != "" {
			l.Tell(bus.Event{
				Group: l.spec.Name, VM: l.name, Event: s.event, DecisionID: l.decision, ElapsedMS: time.Since(start).Milliseconds(),
				Sentence: s.says,
			})
			start = time.Now()
		}
	}
	return nil
}

// launch is one VM that is being made.
type launch struct {
	Manager
	spec           bus.Group
	name, decision string
	index          int // 3 of web-3
	meta           bus.Metadata
	protection     bus.Protection // of a VM that gets new disks
	tmpl           template.Info
	diskBytes      uint64      // size of its main disk
	disks          []extraDisk // the others
	seed           []byte      // what cloud-init will read; nil: nothing
	definition     string
	path           string // where its volume will be

	pool    *libvirt.StoragePool
	dom     *libvirt.Domain
	volumes []*libvirt.StorageVol // that it has made, but those that outlive the VM: no launch that fails deletes one
}

func (l *launch) free() {
	for _, vol := range l.volumes {
		_ = vol.Free()
	}
	if l.dom != nil {
		_ = l.dom.Free()
	}
	if l.pool != nil {
		_ = l.pool.Free()
	}
}

// prepare reads what the VM is made from. It makes nothing.
func (l *launch) prepare(ctx context.Context) (err error) {
	if err := unpassable(l.spec, leasedNetwork(l.Conn, l.spec)); err != nil {
		return fmt.Errorf("%s could never be ready: %w", l.name, err)
	}
	if l.tmpl, err = template.Lookup(l.Conn, l.Pools.Templates, l.spec.Template); err != nil {
		return fmt.Errorf("template of %s: %w", l.name, err)
	}
	if !l.tmpl.Complete {
		return fmt.Errorf("template of %s: %q is being uploaded or removed, or that was cut off", l.name, l.spec.Template)
	}
	if unfit := l.tmpl.Firmware.Unfit(l.spec.Hardware.Firmware != bus.FirmwareBIOS); unfit != "" {
		return fmt.Errorf("template of %s: found %q, which %s; want one for the group's firmware", l.name, l.spec.Template, unfit)
	}
	if l.diskBytes, err = DiskBytes(l.spec, l.tmpl); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if l.disks, err = readDisks(l.spec, func(name string) (template.Info, error) {
		return template.Lookup(l.Conn, l.Pools.Templates, name)
	}); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if l.index, err = indexOf(l.name); err != nil {
		return err
	}
	if l.seed, err = seedImage(l.spec, seed.Values{
		Name: l.name, Group: l.spec.Name, Index: l.index, Host: l.Host, Template: l.spec.Template, UUID: l.meta.UUID,
		Tags: description(l.spec.Hardware),
	}); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if l.pool, err = l.Conn.LookupStoragePoolByName(l.meta.Pool); err != nil {
		return fmt.Errorf("look up storage pool %q: %w", l.meta.Pool, err)
	}
	if l.path, err = VolumePath(l.pool, l.meta.Volume); err != nil {
		return err
	}
	if err := l.findKept(ctx); err != nil {
		return err
	}
	taken, err := TakenMACs(l.Conn, l.meta.UUID)
	if err != nil {
		return err
	}
	macs, err := macAddresses(l.LibvirtID, l.spec.Name, l.name, len(l.spec.NICs(l.Machine.Network)), taken)
	if err != nil {
		return err
	}
	if l.definition, err = (Definition{l.spec, l.Machine, l.name, l.meta, l.path, macs, l.index}).XML(); err != nil {
		return err
	}
	if l.spec.Hardware.DomainXML.Text == "" {
		return nil
	}
	own := slices.Concat(l.meta.Volumes(), l.meta.KeptVolumes())
	return refuseForeignDisks(l.definition, own, filepath.Dir(l.tmpl.Path), filepath.Dir(l.path))
}

func (l *launch) define(context.Context) (err error) {
	flags := libvirt.DomainDefineFlags(0)
	if l.spec.Hardware.DomainXML.Text != "" { // else libvirt would leave out without a word what it does not know
		flags = libvirt.DOMAIN_DEFINE_VALIDATE
	}
	definition := l.definition
	if l.protection.On { // in it, so that no cut-off comes between
		if definition, err = withElement(definition, bus.ProtectionKey, bus.ProtectionURI, l.protection.XML()); err != nil {
			return fmt.Errorf("protect %s: %w", l.name, err)
		}
	}
	if l.dom, err = l.Conn.DomainDefineXMLFlags(definition, flags); err != nil {
		return fmt.Errorf("define %s: %w", l.name, err)
	}
	if l.Records != nil {
		l.Records.Begin(l.name, l.meta, l.path, l.tmpl.Path)
	}
	return nil
}

func (l *launch) clone(context.Context) error {
	vol, err := CreateVolume(l.pool, l.meta.Volume, l.tmpl.Path, l.diskBytes)
	if err != nil {
		return err
	}
	l.made(vol, l.meta.Volume, l.tmpl.Path)
	return nil
}

// addDisks makes the further disks.
func (l *launch) addDisks(ctx context.Context) error {
	for i, disk := range l.disks {
		if volume, kept := l.meta.KeptVolume(i + 1); kept {
			if err := l.addKept(ctx, volume, disk); err != nil {
				return err
			}
			continue
		}
		name := bus.DiskName(l.meta.Volume, i+1)
		vol, err := CreateVolume(l.pool, name, disk.backing, disk.bytes)
		if err != nil {
			return err
		}
		l.made(vol, name, disk.backing)
	}
	return nil
}

// made notes a volume that was just made, with its backing store; "" is none.
func (l *launch) made(vol *libvirt.StorageVol, name, backing string) {
	l.volumes = append(l.volumes, vol)
	if l.Records != nil {
		l.Records.Complete(l.meta.UUID, name, backing)
	}
}

func (l *launch) mark(context.Context) error {
	if l.meta.Phase.Pooled() { // its boot begins now
		return SetPhase(l.dom, &l.meta, l.meta.Phase)
	}
	return SetPhase(l.dom, &l.meta, bus.PhaseLaunching)
}

func (l *launch) start(ctx context.Context) error {
	err := l.Calls.act(ctx, "start", l.dom.Create)
	if err == nil {
		return nil
	}
	if uri, uriErr := l.Conn.GetURI(); uriErr == nil && IsLocal(uri) && ctx.Err() == nil {
		if taken := takenForward(l.spec, l.Machine.Network, l.index); taken != "" {
			return fmt.Errorf("start %s: %s: %w", l.name, taken, err)
		}
	}
	return fmt.Errorf("start %s: %w", l.name, err)
}

func (l *launch) awaitReady(ctx context.Context) error {
	return l.AwaitReady(ctx, l.spec, VM{Name: l.name, UUID: l.meta.UUID, Meta: l.meta}, l.decision)
}

// undo takes back what was made, unless ctx has ended.
func (l *launch) undo(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.dom == nil {
		return cause
	}
	return errors.Join(cause, l.Calls.act(ctx, "undo", func() error { return undoLaunch(l.dom, l.volumes) }))
}

// undoLaunch takes back what launch made: a domain, and the volumes of it that there are.
func undoLaunch(dom *libvirt.Domain, volumes []*libvirt.StorageVol) error {
	active, err := dom.IsActive()
	if err != nil {
		return fmt.Errorf("undo: %w", err) // the next look at libvirt finds it, and removes it
	}
	if active {
		if err := dom.Destroy(); err != nil && !errors.Is(err, libvirt.ERR_OPERATION_INVALID) {
			return fmt.Errorf("undo: destroy: %w", err)
		}
	}
	for _, vol := range volumes {
		if err := vol.Delete(0); err != nil && !errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
			return fmt.Errorf("undo: delete a volume: %w", err)
		}
	}
	if err := undefine(dom); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}

// SetPhase writes the phase into the domain's metadata, where a restart finds it and the collector reads it.
func SetPhase(dom *libvirt.Domain, meta *bus.Metadata, phase bus.Phase) error {
	next := *meta
	next.Phase, next.Since = phase, time.Now()
	if err := setMetadata(dom, next); err != nil {
		return fmt.Errorf("set phase %s: %w", phase, err)
	}
	*meta = next
	return nil
}
