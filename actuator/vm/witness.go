package vm

import (
	"context"
	"errors"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	screenshotWait = 5 * time.Second // for QEMU, which may not answer
	tailLine       = 200             // bytes of a console's line in an event
)

// bootError is the failure of a launch with the last lines that the VM printed on its console.
type bootError struct {
	error
	console []string
}

func (e *bootError) Unwrap() error { return e.error }

// ConsoleOf is what a VM whose launch has failed printed last on its console, harmless for a terminal; nil where nothing is
// known.
func ConsoleOf(err error) []string {
	var failed *bootError
	if errors.As(err, &failed) {
		return failed.console
	}
	return nil
}

// witness records a boot's console, where that is kept.
func (b *boot) witness(ctx context.Context) {
	if b.Consoles == nil {
		return
	}
	if r, err := console.Record(ctx, b.Conn, b.dom); err == nil { // else nothing is known of it
		b.recorder = r
	}
}

// unheard ends the recording, and keeps nothing.
func (b *boot) unheard() {
	if b.recorder != nil {
		b.recorder.Stop()
		b.recorder = nil
	}
}

// keep keeps what the VM printed until now, with what its screen shows if its launch has failed, and ends the recording: the
// console is free for others. It returns the cause with the console's last lines.
func (b *boot) keep(ctx context.Context, cause error) error {
	if b.recorder == nil {
		return cause
	}
	recorder := b.recorder
	b.unheard()
	var picture []byte
	if cause != nil {
		picture = b.screenshot(ctx)
	}
	b.Consoles.Keep(b.vm.Name, b.vm.UUID, recorder.Text(), picture)
	lines := recorder.Tail(bus.MaxConsoleLines, tailLine)
	if cause == nil || len(lines) == 0 {
		return cause
	}
	return &bootError{cause, lines}
}

// screenshot is what the VM's screen shows; nil where it has none, or QEMU does not answer in time.
func (b *boot) screenshot(ctx context.Context) []byte {
	dom, conn := b.dom, b.Conn
	if active, err := dom.IsActive(); err != nil || !active || dom.Ref() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, screenshotWait)
	defer cancel()
	shot := make(chan []byte, 1)
	go func() { // a call that QEMU does not answer ends when QEMU is killed
		defer func() { _ = dom.Free() }()
		var picture []byte
		_ = b.Calls.ask(ctx, "screenshot", func() { picture, _ = console.Screenshot(conn, dom) })
		shot <- picture
	}()
	select {
	case picture := <-shot:
		return picture
	case <-ctx.Done():
		return nil
	}
}

// TakeScreenshot is what a running VM's screen shows, as PNG. It waits for QEMU.
func TakeScreenshot(conn *libvirt.Connect, vm VM) ([]byte, error) {
	dom, err := conn.LookupDomainByUUIDString(vm.UUID)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dom.Free() }()
	return console.Screenshot(conn, dom)
}
