package vm

import (
	"context"
	_ "embed" // for the script
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/check"
	"github.com/vmscaler/vmscaler/bus"
)

// identityScript gives a guest what no two may have in common, as far as that was in its image.
//
//go:embed identity.sh
var identityScript string

// identityWithin is how long that may take: keys are made, also where VMs are emulated.
const identityWithin = time.Minute

// identify has a guest that has booted take on an identity of its own, and returns what is to be said of that; "" is nothing. It
// stands in nobody's way: a guest that cannot be asked goes on as its image has it.
func (b *boot) identify(ctx context.Context) string {
	if b.spec.Identity == bus.IdentityOff {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, identityWithin)
	defer cancel()
	exit, err := b.guest(b.spec, b.vm.Name, b.dom).Run(ctx, []string{
		"/bin/sh", "-c", identityScript, "identity", b.vm.Name, strings.ReplaceAll(b.vm.UUID, "-", ""),
		fmt.Sprint(b.vm.Meta.Created.Unix()),
	})
	return identitySaid(exit, err)
}

// identitySaid puts into words what the script has printed.
func identitySaid(exit check.Exit, err error) string {
	if err == nil && exit.Status != 0 {
		err = fmt.Errorf("its shell ended with status %d", exit.Status)
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("it took longer than %s", identityWithin)
		}
		return fmt.Sprintf("; whether its host name, machine id and SSH host keys are its own is not known: %s", ErrorText(err))
	}
	text := ""
	for line := range strings.Lines(exit.Output) {
		head, rest, _ := strings.Cut(strings.TrimSpace(line), ",")
		var names []string
		for word := range strings.SplitSeq(rest, ",") { // of a guest, so that no other word is repeated
			if name := map[string]string{"host": "host name", "machine": "machine id", "keys": "SSH host keys"}[word]; name != "" {
				names = append(names, name)
			}
		}
		switch {
		case len(names) == 0:
		case head == "did":
			text += "; it was given its own " + strings.Join(names, ", ")
		case head == "failed":
			text += "; what its image has stays, as it could not be changed: " + strings.Join(names, ", ")
		}
	}
	return text
}
