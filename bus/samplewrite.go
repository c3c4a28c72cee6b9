package bus

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// A sample is the message that is sent most, and as large as all others together, so that it is written and read without
// encoding/json's reflection and its allocations for each VM. What is written is the same, byte for byte.

// sizes of what is written, in bytes, to begin with a buffer that is long enough as a rule.
const (
	usualSample = 600
	usualVM     = 480
)

// appender is a message that writes itself as encoding/json would.
type appender interface {
	appendJSON(b []byte) ([]byte, error)
}

// marshal is a message as JSON.
func marshal(m Message) ([]byte, error) {
	if s, is := m.(appender); is {
		return s.appendJSON(nil)
	}
	return json.Marshal(m) //nolint:wrapcheck // the caller names the subject
}

func (s *Sample) appendJSON(b []byte) ([]byte, error) {
	if b == nil {
		b = make([]byte, 0, usualSample+usualVM*len(s.VMs))
	}
	w := writer{b: b}
	w.raw(`{"v":`).int(s.V).raw(`,"group":`).text(s.Group).raw(`,"host_id":`).text(string(s.HostID)).raw(`,"host":`).text(s.Host)
	w.raw(`,"instance":`).text(s.Instance).raw(`,"time":`).time(s.Time)
	if s.VMs == nil {
		w.raw(`,"vms":null`)
	} else {
		w.raw(`,"vms":[`)
		for i := range s.VMs {
			if i > 0 {
				w.raw(`,`)
			}
			w.vm(&s.VMs[i])
		}
		w.raw(`]`)
	}
	h := &s.HostLoad
	w.raw(`,"host_load":{"cpu_percent":`).known(h.CPUPercent).raw(`,"cores":`).int(h.Cores).raw(`,"memory_mib":`).int(h.MemoryMiB)
	w.raw(`,"memory_free_mib":`).knownInt(h.MemoryFreeMiB).raw(`,"memory_promised_mib":`).knownInt(h.MemoryPromisedMiB)
	w.raw(`,"pool_free_mib":`).knownInt(h.PoolFreeMiB)
	if h.Domain != "" {
		w.raw(`,"domain":`).text(h.Domain)
	}
	w.raw(`},"elapsed_ms":`).float(s.ElapsedMS)
	w.raw(`,"spec_hash":`).text(s.SpecHash).raw(`}`)
	return w.b, w.err
}

// writer appends JSON; it keeps the first error.
type writer struct {
	b   []byte
	err error
}

func (w *writer) vm(vm *VM) {
	w.raw(`{"name":`).text(vm.Name).raw(`,"state":`).text(string(vm.State)).raw(`,"phase":`).text(string(vm.Phase))
	w.raw(`,"cpu_percent":`).known(vm.CPUPercent).raw(`,"vcpus":`).int(vm.VCPUs).raw(`,"memory_mib":`).int(vm.MemoryMiB)
	if vm.MemoryUsedMiB != nil {
		w.raw(`,"memory_used_mib":`).int(*vm.MemoryUsedMiB)
	}
	if vm.RunDelayPercent != nil {
		w.raw(`,"run_delay_percent":`).float(*vm.RunDelayPercent)
	}
	if r := vm.Rates; r != nil {
		w.raw(`,"rates":{"network_rx_mib_s":`).known(r.NetworkRx).raw(`,"network_tx_mib_s":`).known(r.NetworkTx)
		w.raw(`,"disk_read_mib_s":`).known(r.DiskRead).raw(`,"disk_write_mib_s":`).known(r.DiskWrite).raw(`}`)
	}
	w.raw(`,"uuid":`).text(vm.UUID).raw(`,"created":`).time(vm.Created).raw(`,"phase_since":`).time(vm.PhaseSince)
	if vm.BootedAt != nil {
		w.raw(`,"booted_at":`).time(*vm.BootedAt)
	}
	if vm.RebootedAt != nil {
		w.raw(`,"rebooted_at":`).time(*vm.RebootedAt)
	}
	w.some(`,"template":`, vm.Template).some(`,"machine":`, vm.Machine)
	w.some(`,"storage":`, vm.Storage)
	w.set(`,"protected":true`, vm.Protected).set(`,"reimaging":true`, vm.Reimaging).set(`,"restarting":true`, vm.Restarting)
	if vm.RestartedAt != nil {
		w.raw(`,"restarted_at":`).time(*vm.RestartedAt)
	}
	w.set(`,"handed":true`, vm.Handed).set(`,"retiring":true`, vm.Retiring)
	if vm.Order != nil {
		w.raw(`,"order":`).other(vm.Order)
	}
	w.some(`,"address":`, vm.Address)
	if len(vm.Forwards) > 0 {
		w.raw(`,"forwards":`).other(vm.Forwards)
	}
	w.some(`,"error":`, vm.Error).raw(`}`)
}

func (w *writer) raw(s string) *writer { w.b = append(w.b, s...); return w }

func (w *writer) int(n int) *writer { w.b = strconv.AppendInt(w.b, int64(n), 10); return w }

// other is for what few VMs have.
func (w *writer) other(v any) *writer {
	data, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.b = append(w.b, data...)
	return w
}

// some is a text that is left out where it is "", set a mark that is left out where it is not set.
func (w *writer) some(key, s string) *writer {
	if s != "" {
		w.raw(key).text(s)
	}
	return w
}

func (w *writer) set(text string, is bool) *writer {
	if is {
		w.raw(text)
	}
	return w
}

func (w *writer) text(s string) *writer {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return w.other(s)
		}
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"')
	return w
}

func (w *writer) time(t time.Time) *writer {
	if year := t.Year(); year < 0 || year > 9999 || t.Location() != time.UTC {
		return w.other(t)
	}
	w.b = append(w.b, '"')
	w.b = t.AppendFormat(w.b, time.RFC3339Nano)
	w.b = append(w.b, '"')
	return w
}

func (w *writer) known(f *float64) *writer {
	if f == nil {
		return w.raw("null")
	}
	return w.float(*f)
}

func (w *writer) knownInt(n *int) *writer {
	if n == nil {
		return w.raw("null")
	}
	return w.int(*n)
}

// float is the shortest text that is the same number; one that wants an exponent, or is none, is left to encoding/json.
func (w *writer) float(f float64) *writer {
	if a := math.Abs(f); !(a == 0 || a >= 1e-6 && a < 1e21) {
		return w.other(f)
	}
	w.b = strconv.AppendFloat(w.b, f, 'f', -1, 64)
	return w
}
