package trial

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	clones      = 2                // so that what they share is seen
	askWithin   = 30 * time.Second // the guest, for its facts; one that took longer to boot has that long
	idleWindow  = 5 * time.Second  // over which the CPU of a guest at rest is measured
	addressWait = 10 * time.Second
	// consoleTail is how much of the end of a console is kept, in bytes.
	consoleTail = 4 << 10
)

// Check boots two clones of the template that spec names, at once, as VMs of a group of that spec, looks at them, and removes
// them, also when ctx ends. step is told what is done; it is called from several goroutines. An error means that they could not
// be made or removed; what is wrong with the template is in the facts.
func Check(ctx context.Context, m vm.Manager, spec bus.Group, step func(string)) (facts []Facts, err error) {
	spec = throwAway(spec)
	defer func() {
		step("removing the clones")
		_, removal := RemoveGroup(ctx, m, spec.Name)
		err = errors.Join(err, removal)
	}()
	facts = make([]Facts, clones)
	errs := make([]error, clones)
	var wg sync.WaitGroup
	for i := range clones {
		wg.Go(func() {
			name := bus.VMName(spec.Name, i+1)
			facts[i], errs[i] = look(ctx, m, spec, i+1, func(what string) { step(name + ": " + what) })
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return facts, nil
}

// look boots one clone and looks at it.
func look(ctx context.Context, m vm.Manager, spec bus.Group, n int, step func(string)) (Facts, error) {
	step("is made and started")
	c, err := launch(ctx, m, spec, n)
	if err != nil {
		return Facts{}, err
	}
	defer c.free()
	f := Facts{Name: c.vm.Name}
	tail, stop := listen(ctx, m.Conn, c.dom)
	defer stop()
	step("boots")
	ready, notReady := c.awaitReady(ctx)
	if ctx.Err() != nil {
		return f, context.Cause(ctx)
	}
	f.BootTime = time.Since(c.started)
	if f.Ready = ready; notReady != nil {
		f.NotReady = vm.ErrorText(notReady)
	}
	step("is asked")
	if err := f.ask(ctx, c); err != nil {
		return f, err
	}
	f.Console, f.LastLines = tail.read()
	if alive(f) {
		step("is shut down by its power button")
		if err := f.press(ctx, c); err != nil {
			return f, err
		}
	}
	return f, nil
}

// ask fills in what the clone and its guest say. What they do not say stays unknown.
func (f *Facts) ask(ctx context.Context, c *clone) error {
	if f.Agent = f.Ready != "" || vm.AgentAnswers(c.dom); f.Agent {
		output, _, err := vm.RunInGuest(ctx, c.dom, guestScript, max(askWithin, f.BootTime))
		if err == nil {
			f.Guest = parseGuest(output)
		} else {
			f.Guest = Guest{Unasked: vm.ErrorText(err)}
		}
	}
	var err error
	if f.Ready != "" {
		f.Idle, err = measure(ctx, c.dom)
	}
	if err != nil {
		return err
	}
	f.Address, err = awaitAddress(ctx, c.dom)
	return err
}

// measure is how much CPU a VM uses, in percent of all of its vCPUs; nil where libvirt does not say.
func measure(ctx context.Context, dom *libvirt.Domain) (*float64, error) {
	before, err := dom.GetInfo()
	began := time.Now()
	if err != nil {
		return nil, nil //nolint:nilerr // then it is unknown
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(idleWindow):
	}
	after, err := dom.GetInfo()
	if err != nil || after.CpuTime < before.CpuTime || after.NrVirtCpu == 0 {
		return nil, nil //nolint:nilerr // then it is unknown
	}
	return new(100 * float64(after.CpuTime-before.CpuTime) / (float64(time.Since(began)) * float64(after.NrVirtCpu))), nil
}

func awaitAddress(ctx context.Context, dom *libvirt.Domain) (string, error) {
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	late := time.NewTimer(addressWait)
	defer late.Stop()
	for {
		if address := vm.Address(dom); address != "" {
			return address, nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-late.C:
			return "", nil
		case <-poll.C:
		}
	}
}

// press presses the power button and waits for the guest.
func (f *Facts) press(ctx context.Context, c *clone) (err error) {
	if err := c.dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN); err != nil {
		return nil //nolint:nilerr // a driver without one, or the VM is off: it was not tried
	}
	f.Pressed = true
	f.Off, err = c.awaitOff(ctx, c.spec.ShutdownTimeout)
	return err
}

// heard is what came on a console.
type heard struct {
	mu    sync.Mutex
	bytes int
	tail  []byte
}

func (h *heard) add(data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes += len(data)
	h.tail = append(h.tail, data...)
	h.tail = h.tail[max(0, len(h.tail)-consoleTail):]
}

func (h *heard) read() (bytes int, tail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bytes, strings.ToValidUTF8(string(h.tail), "\uFFFD")
}

// listen reads a console until stop is called. Where it cannot, nothing is heard.
func listen(ctx context.Context, conn *libvirt.Connect, dom *libvirt.Domain) (h *heard, stop func()) {
	h = &heard{}
	c, err := console.Take(conn, dom)
	if err != nil {
		return h, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 16<<10)
		for {
			n, err := c.Read(ctx, buf)
			if err != nil {
				return
			}
			h.add(buf[:n])
		}
	}()
	return h, func() {
		cancel()
		<-done
		c.Close()
	}
}
