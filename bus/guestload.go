package bus

import (
	"errors"
	"time"
)

// GuestLoad is how much the guests of a group have to do on one host: the load average of a minute, as their agents say it, which
// tells more than a CPU at its full does.
type GuestLoad struct {
	V      int       `json:"v"`
	Group  string    `json:"group"`
	HostID HostID    `json:"host_id"`
	Time   time.Time `json:"time"` // when the agents were asked
	// Percent is the load average for each vCPU, by the VM's UUID: at 100 as many tasks want to run as there are vCPUs. A VM
	// that is not in it is unknown.
	Percent map[string]float64 `json:"percent"`
	Unknown map[string]string  `json:"unknown,omitempty"` // why, by UUID
}

func (l *GuestLoad) check() error {
	if l.Group == "" || l.HostID == "" || l.Time.IsZero() || l.Percent == nil {
		return errors.New("load without group, host_id, time or percent")
	}
	if err := checkVersion(l.V); err != nil {
		return err
	}
	return l.bounds()
}

func (l *GuestLoad) bounds() error {
	var b bounds
	b.name("group", l.Group, MaxName)
	b.name("host_id", string(l.HostID), maxHostName)
	b.count("percent", len(l.Percent), MaxVMs)
	for uuid, percent := range l.Percent {
		b.name("percent", uuid, maxWord)
		b.number("percent", percent, maxPercent)
	}
	b.count("unknown", len(l.Unknown), MaxVMs)
	for uuid, why := range l.Unknown {
		b.name("unknown", uuid, maxWord)
		b.text("unknown", why)
	}
	return b.of("load")
}

func (l *GuestLoad) cut() {
	for uuid, why := range l.Unknown {
		l.Unknown[uuid] = cutTo(why, MaxVMError)
	}
}

// Of as many VMs as a sample may have.
func (l *GuestLoad) most() int { return MaxPayload }

// Subject is vmscaler.load.<group>.<host id>.
func (l *GuestLoad) Subject() string {
	return "vmscaler.load." + Token(l.Group) + "." + Token(string(l.HostID))
}
