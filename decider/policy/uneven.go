package policy

const (
	unevenBelow = 85.   // percent: with an average above it, full VMs are no sign of an uneven load
	unevenFrom  = 0.05  // share of VMs that are full
	unevenUp    = 0.25  // a reading with all VMs full would add so much
	unevenDown  = 0.998 // what is left after a reading without: half after half an hour
	mostUneven  = 2.
)

// Uneven is how many times as many VMs the present load needs as an even one would, 1 to mostUneven: load balancers spread
// connections, not work, and what a full VM is asked for beyond its CPU is not in the average. It grows while some VMs are full
// and the average is not, and fades when there are none.
type Uneven struct {
	Factor float64 `json:"factor"` // 0 is 1
}

// see takes a reading.
func (u *Uneven) see(r Reading, surge bool) float64 {
	u.Factor = max(1, u.Factor)
	switch {
	case surge || *r.CPUPercent > unevenBelow:
	case r.Full > unevenFrom:
		u.Factor = round(min(mostUneven, u.Factor*(1+r.Full*unevenUp)))
	case r.Full < unevenFrom/2:
		u.Factor = max(1, u.Factor*unevenDown)
	}
	return u.Factor
}
