package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// fence runs a group's fence command for a host until ctx ends, in a process group of its own, all of which is killed then. nil
// says that the host is cut off.
func fence(ctx context.Context, spec bus.Group, name string, id bus.HostID) error {
	if spec.Fence.Command == "" {
		return errors.New("there is none (fence.command)")
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", spec.Fence.Command)
	cmd.Env = append(os.Environ(), "VMSCALER_GROUP="+spec.Name, "VMSCALER_HOST="+name, "VMSCALER_HOST_ID="+string(id))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return os.ErrProcessDone
	}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("it was killed after %s: %w", spec.Fence.Timeout, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("it ended with %w", err)
	}
	return nil
}
