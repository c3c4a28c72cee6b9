package bus

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ScaleIn is one order of removal, of the list by which a group chooses who goes when there is one too many: an order decides
// among the VMs that are alike for those before it, as with the termination policies of AWS. VMs that are not ready yet go before
// all others.
type ScaleIn string

// The orders of removal.
const (
	ScaleInNewest    ScaleIn = "newest"
	ScaleInOldest    ScaleIn = "oldest"
	ScaleInLeastBusy ScaleIn = "least-busy" // by its last CPU reading; unknown counts as busy
	ScaleInOutdated  ScaleIn = "outdated"   // made from another template, or from one that was replaced since
)

// scaleIns are the orders that ask nobody, each with how it takes VMs by their age; see [ScaleIn.Age].
var scaleIns = []struct {
	order ScaleIn
	age   int
}{
	{ScaleInNewest, -1},
	{ScaleInOldest, 1},
	{ScaleInLeastBusy, 0},
	{ScaleInOutdated, 0},
}

// ScaleIns are the orders of removal that ask nobody.
func ScaleIns() []ScaleIn {
	var names []ScaleIn
	for _, s := range scaleIns {
		names = append(names, s.order)
	}
	return names
}

// Age is how an order takes VMs by their age: 1 is the oldest first, -1 the newest first, 0 by something else.
func (s ScaleIn) Age() int {
	for _, known := range scaleIns {
		if known.order == s {
			return known.age
		}
	}
	return 0
}

// victimHook begins the order that asks a listener on the bus; the listener's name follows.
const victimHook = "hook:"

// ScaleInHookPattern is what an order looks like that asks.
const ScaleInHookPattern = `hook:[a-z][a-z0-9-]{0,39}`

var victimHookName = regexp.MustCompile(`^` + ScaleInHookPattern + `$`)

// Hook is the name of the listener that the order asks; "" where it asks none.
func (s ScaleIn) Hook() string {
	if name, asks := strings.CutPrefix(string(s), victimHook); asks {
		return name
	}
	return ""
}

// CheckScaleIn reports what is wrong with a group's orders of removal: each is known and named once, and one may ask.
func CheckScaleIn(orders []ScaleIn) error {
	if len(orders) == 0 {
		return errors.New("found no order, want at least one")
	}
	asks := 0
	for i, o := range orders {
		switch {
		case slices.Contains(orders[:i], o):
			return fmt.Errorf("found %q twice, want each once", Clip(string(o), 60))
		case slices.Contains(ScaleIns(), o):
		case !victimHookName.MatchString(string(o)):
			return fmt.Errorf("found %q, want one of %q or hook:NAME", Clip(string(o), 60), ScaleIns())
		default:
			if asks++; asks > 1 {
				return fmt.Errorf("found %q, want one hook at most", Clip(string(o), 60))
			}
		}
	}
	return nil
}

// VictimHook is how the listener of an order that asks is asked.
type VictimHook struct {
	// Timeout is how long it may take to answer; then the orders after it choose among all that it was asked about.
	Timeout time.Duration `json:"timeout"`
	// Patience is how long it may go on saying that none may go now; then the same holds.
	Patience time.Duration `json:"patience"`
}
