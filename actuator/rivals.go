package actuator

import (
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	maxRivals = 256              // that are remembered
	rivalAge  = 10 * time.Second // for how long an actuator counts that gives no sign of life; it normally does every 3 s
)

// meet notes another actuator's sign of life.
func (a *Actuator) meet(h bus.Health) {
	if a.cfg.Templates != nil {
		a.cfg.Templates.Hear(h)
	}
	now := a.cfg.Now()
	maps.DeleteFunc(a.rivals, func(_ string, old bus.Health) bool { return now.Sub(old.Time) > rivalAge })
	if h.Instance == a.cfg.Instance || h.Acts == nil || a.hostID != "" && h.Acts.HostID != a.hostID {
		return
	}
	if _, known := a.rivals[h.Subject()]; known || len(a.rivals) < maxRivals {
		h.Time = now
		a.rivals[h.Subject()] = h // an agent may choose its instance, and take no other host's place by it
	}
}

// rival is an actuator that acts on the same libvirt and was there first; nil is none.
func (a *Actuator) rival() *bus.Health {
	for _, subject := range slices.Sorted(maps.Keys(a.rivals)) {
		h := a.rivals[subject]
		first := h.Since.Before(a.cfg.Since) || h.Since.Equal(a.cfg.Since) && h.Instance < a.cfg.Instance
		if h.Acts.HostID == a.hostID && a.cfg.Now().Sub(h.Time) <= rivalAge && first {
			return &h
		}
	}
	return nil
}
