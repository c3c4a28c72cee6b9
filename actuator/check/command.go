package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// notFound is the exit status with which a shell says that a program does not exist.
const notFound = 127

func tryCommand(ctx context.Context, c bus.Check, g Guest) (string, error) {
	exit, err := g.Run(ctx, c.Command)
	if err != nil {
		return "", err
	}
	if exit.Status != 0 {
		return "", fmt.Errorf("its status was %d%s", exit.Status, said(exit))
	}
	return "its status was 0", nil
}

// said returns a program's output as the end of a sentence.
func said(exit Exit) string {
	if text := strings.TrimSpace(exit.Output); text != "" {
		return ": " + text
	}
	return ""
}

// cloudInitWait waits in the guest until cloud-init has finished. Its status is then 0, or 1 after an error, or 2 where
// cloud-init went on after one (degraded), which versions before 23.4 do not tell from 0.
var cloudInitWait = []string{"cloud-init", "status", "--wait"}

func tryCloudInit(ctx context.Context, g Guest) (string, error) {
	exit, err := g.Run(ctx, bus.ShellCommand(strings.Join(cloudInitWait, " ")))
	if err != nil {
		return "", err
	}
	switch exit.Status {
	case 0:
		return "cloud-init is done", nil
	case 2:
		return "cloud-init is done, and degraded: it went on after an error", nil
	case notFound:
		return "", fmt.Errorf("its image has no cloud-init%s", said(exit))
	}
	return "", fmt.Errorf("cloud-init ended with an error (status %d)%s", exit.Status, said(exit))
}
