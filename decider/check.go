package decider

import (
	"fmt"
	"slices"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// Check reports what of a group's spec Decide cannot go by: a policy, an order of removal or a schedule that is not known.
func Check(spec bus.Group) error {
	if err := policy.Check(spec.Policy); err != nil {
		return err
	}
	if spec.Placement != bus.PlaceSpread && !slices.Contains(bus.Placements(), spec.Placement) {
		return fmt.Errorf("placement: found %q, want one of %q, or none", spec.Placement, bus.Placements())
	}
	if spec.Rebalance != bus.RebalanceOff && !slices.Contains(bus.Rebalances(), spec.Rebalance) {
		return fmt.Errorf("rebalance: found %q, want one of %q, or none", spec.Rebalance, bus.Rebalances())
	}
	if spec.HostLoss != bus.LossReplace && !slices.Contains(bus.HostLosses(), spec.HostLoss) {
		return fmt.Errorf("on_host_loss: found %q, want one of %q, or none", spec.HostLoss, bus.HostLosses())
	}
	if err := bus.CheckScaleIn(spec.ScaleIn); err != nil {
		return fmt.Errorf("scale_in: %w", err)
	}
	_, err := schedule.New(spec.Schedule)
	return err
}
