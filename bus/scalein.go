package bus

import (
	"errors"
	"fmt"
	"slices"
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

// ScaleIns are the orders of removal.
func ScaleIns() []ScaleIn {
	return []ScaleIn{ScaleInNewest, ScaleInOldest, ScaleInLeastBusy, ScaleInOutdated}
}

// CheckScaleIn reports what is wrong with a group's orders of removal: each is known, and named once.
func CheckScaleIn(orders []ScaleIn) error {
	if len(orders) == 0 {
		return errors.New("scale_in: found no order, want at least one")
	}
	for i, o := range orders {
		switch {
		case slices.Contains(orders[:i], o):
			return fmt.Errorf("scale_in: found %q twice, want each once", Clip(string(o), 60))
		case !slices.Contains(ScaleIns(), o):
			return fmt.Errorf("scale_in: found %q, want one of %q", Clip(string(o), 60), ScaleIns())
		}
	}
	return nil
}
