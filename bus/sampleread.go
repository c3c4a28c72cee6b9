package bus

import (
	"bytes"
	"strings"
	"time"
)

// parser is a message that reads itself in the form in which this program writes it: without blanks, and with no other keys, in
// their order. It reports false for any other form, as of another version, which is left to encoding/json; what it has read by
// then is of no use.
type parser interface {
	parseJSON(data []byte) bool
}

func (s *Sample) parseJSON(data []byte) bool {
	// An estimate of the VMs, that memory is taken once for all. It is checked against the bytes: anybody may write anything.
	r := reader{data: data, ok: true, vms: min(bytes.Count(data, []byte(`"phase_since":`)), MaxVMs, len(data)/minVM)}
	r.object(sampleKeys[:], func(key string) {
		switch key {
		case "v":
			s.V = r.int()
		case "group":
			s.Group = r.word("")
		case "host_id":
			s.HostID = HostID(r.word(""))
		case "host":
			s.Host = r.word("")
		case "instance":
			s.Instance = r.word("")
		case "time":
			s.Time = r.time()
		case "vms":
			s.VMs = r.list()
		case "host_load":
			s.HostLoad = r.host()
		case "elapsed_ms":
			s.ElapsedMS = r.float()
		case "spec_hash":
			s.SpecHash = r.word("")
		}
	})
	return r.ok && r.at == len(data)
}

// minVM is less than the bytes that a VM takes at least.
const minVM = 100

// The keys in the order in which they are written; a test compares them with the types.
var (
	sampleKeys = [...]string{
		"v", "group", "host_id", "host", "instance", "time", "vms", "host_load", "elapsed_ms", "spec_hash",
	}
	hostKeys = [...]string{
		"cpu_percent", "cores", "memory_mib", "memory_free_mib", "memory_promised_mib", "pool_free_mib", "domain",
	}
	vmKeys = [...]string{
		"name", "state", "phase", "cpu_percent", "vcpus", "memory_mib", "memory_used_mib", "run_delay_percent", "rates", "uuid",
		"created", "phase_since", "booted_at", "rebooted_at", "template", "machine", "storage", "protected", "reimaging",
		"restarting", "restarted_at", "handed", "retiring", "order", "address", "forwards", "error",
	}
	rateKeys = [...]string{"network_rx_mib_s", "network_tx_mib_s", "disk_read_mib_s", "disk_write_mib_s"}
)

// reader reads JSON from at on. Once something is not as this program writes it, ok is false.
type reader struct {
	data []byte
	at   int
	ok   bool
	vms  int // that are expected

	// What VMs share the memory of: a VM keeps that of its sample, and nothing else does.
	texts  strings.Builder
	floats pool[float64]
	ints   pool[int]
	times  pool[time.Time]
}

// pool gives room for values by many at a time.
type pool[T any] struct{ free []T }

func (p *pool[T]) keep(v T, many int) *T {
	if len(p.free) == 0 {
		p.free = make([]T, max(many, 1))
	}
	to := &p.free[0]
	p.free = p.free[1:]
	*to = v
	return to
}

func (r *reader) list() []VM {
	all := make([]VM, 0, r.vms)
	if !r.take('[') || r.next(']') {
		return all
	}
	var before VM
	for r.ok {
		all = append(all, VM{})
		vm := &all[len(all)-1]
		r.vm(vm, &before)
		before = *vm
		if r.next(']') {
			return all
		}
		if !r.take(',') || len(all) == MaxVMs {
			break
		}
	}
	r.ok = false
	return all
}

// vm reads a VM. What it has in common with the one before it shares its memory.
func (r *reader) vm(vm, before *VM) {
	r.object(vmKeys[:], func(key string) {
		switch key {
		case "name":
			vm.Name = r.text()
		case "state":
			vm.State = State(r.word(string(before.State)))
		case "phase":
			vm.Phase = Phase(r.word(string(before.Phase)))
		case "cpu_percent":
			vm.CPUPercent = r.known()
		case "vcpus":
			vm.VCPUs = r.int()
		case "memory_mib":
			vm.MemoryMiB = r.int()
		case "memory_used_mib":
			vm.MemoryUsedMiB = r.knownInt()
		case "run_delay_percent":
			vm.RunDelayPercent = r.known()
		case "rates":
			vm.Rates = r.rates()
		case "uuid":
			vm.UUID = r.text()
		case "created":
			vm.Created = r.time()
		case "phase_since":
			vm.PhaseSince = r.time()
		default:
			r.rest(vm, before, key)
		}
	})
}

// rest reads what not every VM has.
func (r *reader) rest(vm, before *VM, key string) {
	switch key {
	case "booted_at":
		vm.BootedAt = r.times.keep(r.time(), r.vms)
	case "rebooted_at":
		vm.RebootedAt = r.times.keep(r.time(), r.vms)
	case "template":
		vm.Template = r.word(before.Template)
	case "machine":
		vm.Machine = r.word(before.Machine)
	case "storage":
		vm.Storage = r.word(before.Storage)
	case "protected":
		vm.Protected = r.yes()
	case "reimaging":
		vm.Reimaging = r.yes()
	case "restarting":
		vm.Restarting = r.yes()
	case "restarted_at":
		vm.RestartedAt = r.times.keep(r.time(), r.vms)
	case "handed":
		vm.Handed = r.yes()
	case "retiring":
		vm.Retiring = r.yes()
	case "order":
		r.other(&vm.Order)
	case "address":
		vm.Address = r.text()
	case "forwards":
		r.other(&vm.Forwards)
	case "error":
		vm.Error = r.text()
	}
}

func (r *reader) host() (h Host) {
	r.object(hostKeys[:], func(key string) {
		switch key {
		case "cpu_percent":
			h.CPUPercent = r.known()
		case "cores":
			h.Cores = r.int()
		case "memory_mib":
			h.MemoryMiB = r.int()
		case "memory_free_mib":
			h.MemoryFreeMiB = r.knownInt()
		case "memory_promised_mib":
			h.MemoryPromisedMiB = r.knownInt()
		case "pool_free_mib":
			h.PoolFreeMiB = r.knownInt()
		case "domain":
			h.Domain = r.word("")
		}
	})
	return h
}

func (r *reader) rates() *Rates {
	var rates Rates
	r.object(rateKeys[:], func(key string) {
		switch key {
		case "network_rx_mib_s":
			rates.NetworkRx = r.known()
		case "network_tx_mib_s":
			rates.NetworkTx = r.known()
		case "disk_read_mib_s":
			rates.DiskRead = r.known()
		case "disk_write_mib_s":
			rates.DiskWrite = r.known()
		}
	})
	return &rates
}
