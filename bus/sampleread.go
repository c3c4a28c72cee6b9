package bus

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
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
		"created", "phase_since", "booted_at", "rebooted_at", "template", "machine", "protected", "reimaging", "handed",
		"retiring", "order", "address", "forwards", "error",
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
	case "protected":
		vm.Protected = r.yes()
	case "reimaging":
		vm.Reimaging = r.yes()
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

// object reads an object with some of the keys, in their order. value reads the value of one.
func (r *reader) object(keys []string, value func(key string)) {
	if !r.take('{') || r.next('}') {
		return
	}
	for r.ok {
		key, plain := r.token()
		if !plain || !r.take(':') {
			break
		}
		for len(keys) > 0 && keys[0] != string(key) {
			keys = keys[1:]
		}
		if len(keys) == 0 {
			break
		}
		value(keys[0])
		keys = keys[1:]
		if r.next('}') {
			return
		}
		if !r.take(',') {
			break
		}
	}
	r.ok = false
}

// next takes a byte if it is there, take must find it.
func (r *reader) next(c byte) bool {
	if r.ok && r.at < len(r.data) && r.data[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) take(c byte) bool {
	r.ok = r.next(c)
	return r.ok
}

func (r *reader) literal(s string) bool {
	if r.ok && bytes.HasPrefix(r.data[r.at:], []byte(s)) {
		r.at += len(s)
		return true
	}
	return false
}

func (r *reader) null() bool { return r.literal("null") }

func (r *reader) yes() bool {
	r.ok = r.literal("true")
	return r.ok
}

// token reads a text; plain reports that it is what is between the quotes, else it is with the quotes.
func (r *reader) token() (text []byte, plain bool) {
	start, ascii := r.at+1, true
	if !r.take('"') {
		return nil, false
	}
	for i := start; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			r.at = i + 1
			text = r.data[start:i]
			return text, ascii || utf8.Valid(text)
		case c == '\\' || c < ' ':
			return r.escaped(start)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.ok = false
	return nil, false
}

// escaped is a text that is not plain, with its quotes.
func (r *reader) escaped(start int) ([]byte, bool) {
	for i := start; i < len(r.data); i++ {
		switch r.data[i] {
		case '\\':
			i++
		case '"':
			r.at = i + 1
			return r.data[start-1 : r.at], false
		}
	}
	r.ok = false
	return nil, false
}

// text is a text of a VM.
func (r *reader) text() string {
	token, plain := r.token()
	if !plain {
		return r.decoded(token)
	}
	if r.texts.Cap()-r.texts.Len() < len(token) {
		const usual = 80 // the name, the UUID and the address of a VM
		r.texts = strings.Builder{}
		r.texts.Grow(max(len(token), usual*min(r.vms, 1000)))
	}
	from := r.texts.Len()
	r.texts.Write(token)
	return r.texts.String()[from:]
}

// word is a text that often is the same as another one.
func (r *reader) word(likely string) string {
	token, plain := r.token()
	switch {
	case !plain:
		return r.decoded(token)
	case string(token) == likely:
		return likely
	}
	return string(token)
}

// decoded is a text with escapes, or with what is no UTF-8.
func (r *reader) decoded(token []byte) (s string) {
	if r.ok && len(token) > 0 && token[0] == '"' {
		r.ok = json.Unmarshal(token, &s) == nil
		return s
	}
	r.ok = false
	return ""
}

// other reads an object that few VMs have.
func (r *reader) other(to any) {
	start := r.at
	for depth := 0; r.ok && r.at < len(r.data); {
		switch r.data[r.at] {
		case '"':
			r.token()
			continue
		case '{':
			depth++
		case '}':
			depth--
		}
		r.at++
		if depth <= 0 {
			raw := r.data[start:r.at]
			r.ok = len(raw) > 1 && CheckShape(raw) == nil && json.Unmarshal(raw, to) == nil
			return
		}
	}
	r.ok = false
}

func (r *reader) time() (t time.Time) {
	start := r.at
	if _, plain := r.token(); plain {
		r.ok = t.UnmarshalJSON(r.data[start:r.at]) == nil
		return t
	}
	r.ok = false
	return t
}

func (r *reader) known() *float64 {
	if r.null() {
		return nil
	}
	return r.floats.keep(r.float(), 2*r.vms)
}

func (r *reader) knownInt() *int {
	if r.null() {
		return nil
	}
	return r.ints.keep(r.int(), r.vms)
}

// number reads a number as JSON has it; whole reports that it has neither a fraction nor an exponent.
func (r *reader) number() (text []byte, whole bool) {
	start := r.at
	r.next('-')
	first := r.at
	digits := r.digits()
	if digits == 0 || digits > 1 && r.data[first] == '0' {
		r.ok = false
	}
	whole = true
	if r.next('.') {
		whole = false
		r.ok = r.ok && r.digits() > 0
	}
	if r.next('e') || r.next('E') {
		whole = false
		if !r.next('+') {
			r.next('-')
		}
		r.ok = r.ok && r.digits() > 0
	}
	return r.data[start:r.at], whole
}

func (r *reader) digits() (n int) {
	for r.ok && r.at < len(r.data) && r.data[r.at] >= '0' && r.data[r.at] <= '9' {
		r.at++
		n++
	}
	return n
}

func (r *reader) int() int {
	text, whole := r.number()
	n, err := strconv.Atoi(string(text))
	r.ok = r.ok && whole && err == nil
	return n
}

func (r *reader) float() float64 {
	text, _ := r.number()
	f, err := strconv.ParseFloat(string(text), 64)
	r.ok = r.ok && err == nil
	return f
}
