package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// ErrNotMade is wrapped by a Guest's errors that say nothing about the guest, as it was not queried at all.
var ErrNotMade = errors.New("the check could not be made")

// Guest queries a VM. Each method returns soon after ctx has ended. An error that is not ErrNotMade is a failure of the guest.
type Guest interface {
	Ping(ctx context.Context) error
	Leased(ctx context.Context) (bool, error)
	// Address returns the VM's address; the zero value if it has none.
	Address(ctx context.Context) (netip.Addr, error)
	// Endpoint returns the address and port at which a port of the VM is reached from the host.
	Endpoint(ctx context.Context, port int) (netip.AddrPort, error)
	// Run runs a program in the guest, and returns when it has exited. It is killed when ctx ends first.
	Run(ctx context.Context, command []string) (Exit, error)
}

// Exit is how a program in a guest ended.
type Exit struct {
	Status int // exit status, or 128 plus the signal's number
	Output string
}

// maxReason is the maximum length of a result's reason, in bytes.
const maxReason = 200

// Try runs a check once, within the check's time-out.
func Try(ctx context.Context, c bus.Check, g Guest) Result {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	why, err := try(ctx, c, g)
	r := Result{At: time.Now(), Outcome: Well, Why: why}
	switch {
	case errors.Is(err, ErrNotMade), errors.Is(ctx.Err(), context.Canceled):
		r.Outcome = Unknown
	case err != nil:
		r.Outcome = Failing
	}
	if err != nil {
		r.Why = err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			r.Why = fmt.Sprintf("it took longer than %s", c.Timeout)
		}
	}
	r.Why = bus.Clip(bus.Line(strings.Join(strings.Fields(bus.Clip(r.Why, 4*maxReason)), " ")), maxReason)
	return r
}

func try(ctx context.Context, c bus.Check, g Guest) (why string, err error) {
	switch c.Type {
	case bus.CheckAgent:
		return "its guest agent answers", g.Ping(ctx)
	case bus.CheckLease:
		leased, err := g.Leased(ctx)
		if err == nil && !leased {
			err = errors.New("it has no DHCP lease")
		}
		return "it has a DHCP lease", err
	case bus.CheckAddress:
		address, err := g.Address(ctx)
		if err == nil && !address.IsValid() {
			err = errors.New("it has no address")
		}
		return "it has the address " + address.String(), err
	case bus.CheckCommand:
		return tryCommand(ctx, c, g)
	case bus.CheckCloudInit:
		return tryCloudInit(ctx, g)
	case bus.CheckTCP, bus.CheckHTTP:
		at, err := g.Endpoint(ctx, c.Port)
		if err != nil {
			return "", err
		}
		if c.Type == bus.CheckTCP {
			return tryTCP(ctx, at)
		}
		return tryHTTP(ctx, c, at)
	}
	return "", fmt.Errorf("%w: found the type %q, want one of %v", ErrNotMade, c.Type, bus.CheckTypes())
}
