package bus

// Maintenance bounds each replacement of a group's VMs, whatever its reason: repair, refresh, lifetime, or a person. The words
// are those of AWS's instance maintenance policy.
type Maintenance struct {
	// MinHealthyPercent of the desired VMs must serve meanwhile, 0 to 100; less lets VMs go before others are there.
	MinHealthyPercent int `json:"min_healthy_percent"`
	// MaxHealthyPercent of the desired VMs may be there meanwhile, 100 to 200, and within the group's max; more lets others be made
	// before VMs go.
	MaxHealthyPercent int `json:"max_healthy_percent"`
}

// Leeway is what the policy lets a group of so many desired VMs have and miss, as [Leeway] says.
func (m Maintenance) Leeway(desired, most int) (surge, spare int) {
	return Leeway(desired, most, m.Surge(desired), m.MinHealthyPercent)
}

// Leeway is how many VMs beyond desired may be there for a replacement, up to surge and within most, and how many of desired may
// be missing, so that the percentage of them, rounded up, serves. Where nobody lets more be there, and a percentage below 100 is
// that of a group so small that none could be missing, one may. Nothing can be replaced where both are 0.
func Leeway(desired, most, surge, minHealthyPercent int) (extra, spare int) {
	spare = max(0, desired-upward(desired, minHealthyPercent))
	if surge == 0 && spare == 0 && minHealthyPercent < 100 {
		spare = min(1, desired)
	}
	return max(0, min(surge, most-desired)), spare
}

// Surge is how many VMs beyond desired may be there by the percentage alone, rounded up: one at least with any above 100.
func (m Maintenance) Surge(desired int) int {
	return max(0, upward(desired, m.MaxHealthyPercent)-desired)
}

// upward is a share of n, rounded up.
func upward(n, percent int) int { return (n*percent + 99) / 100 }
