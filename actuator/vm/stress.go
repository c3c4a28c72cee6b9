package vm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"libvirt.org/go/libvirt"
)

// Load is what stress-ng does in a guest.
type Load struct {
	Workers  int           // of the CPU; 0: one for each vCPU
	Percent  int           // of the time for which each is busy, 1 to 100
	Duration time.Duration // whole seconds, rounded up
}

// Stress runs stress-ng in each VM through its guest agent, and waits until it ends. stress-ng gets the duration as its own
// time-out, so it ends also when this process is killed; when ctx ends it is stopped at once. started is called for each VM in
// which it runs, from several goroutines.
func Stress(ctx context.Context, conn *libvirt.Connect, vms []VM, load Load, started func(vm string)) error {
	errs := make([]error, len(vms))
	calls := NewCalls()
	var wg sync.WaitGroup
	for i, vm := range vms {
		wg.Go(func() {
			if err := stress(ctx, conn, calls, vm, load, started); err != nil {
				errs[i] = fmt.Errorf("%s: %w", vm.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func stress(ctx context.Context, conn *libvirt.Connect, calls *Calls, vm VM, load Load, started func(string)) error {
	dom, err := conn.LookupDomainByUUIDString(vm.UUID)
	if err != nil {
		return fmt.Errorf("look up the domain: %w", err)
	}
	defer func() { _ = dom.Free() }()
	seconds := strconv.Itoa(int((load.Duration + time.Second - 1) / time.Second))
	var run struct {
		PID int `json:"pid"`
	}
	// Guests under load answer late, and calls that wait together cut the connection.
	ask := func(ctx context.Context, execute string, arguments, result any) error {
		var err error
		gone := calls.ask(ctx, "agent", func() { err = agentCommand(dom, agentTimeout, execute, arguments, result) })
		return errors.Join(gone, err)
	}
	if err := ask(ctx, "guest-exec", map[string]any{
		"path": "stress-ng",
		"arg":  []string{"--cpu", strconv.Itoa(load.Workers), "--cpu-load", strconv.Itoa(load.Percent), "--timeout", seconds + "s"},
	}, &run); err != nil {
		return fmt.Errorf("start stress-ng (is it in the guest?): %w", err)
	}
	started(vm.Name)
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return stopLoad(context.WithoutCancel(ctx), ask, run.PID)
		case <-poll.C:
		}
		var status struct {
			Exited   bool `json:"exited"`
			ExitCode int  `json:"exitcode"`
		}
		err := ask(ctx, "guest-exec-status", map[string]any{"pid": run.PID}, &status)
		switch {
		case errors.Is(err, libvirt.ERR_NO_DOMAIN), errors.Is(err, libvirt.ERR_OPERATION_INVALID):
			return errors.New("the VM went away under load")
		case err != nil:
			continue // a guest under full load may answer late; stress-ng ends by itself
		case status.Exited && status.ExitCode != 0:
			return fmt.Errorf("stress-ng ended with %d", status.ExitCode)
		case status.Exited:
			return nil
		}
	}
}

func stopLoad(ctx context.Context, ask func(context.Context, string, any, any) error, pid int) error {
	if err := ask(ctx, "guest-exec", map[string]any{
		"path": "kill", "arg": []string{"-TERM", strconv.Itoa(pid)},
	}, nil); err != nil {
		return fmt.Errorf("stop stress-ng (it ends by its own time-out): %w", err)
	}
	return nil
}
