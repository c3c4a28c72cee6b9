package bus

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a message may contain. A receiver refuses more before it takes memory for it, as anyone with a role's credentials may
// send anything.
const (
	MaxHosts  = 256    // of a group
	MaxStages = 256    // instances
	MaxVMs    = 10_000 // in a sample
	MaxText   = 1 << 10
	MaxOrders = 100 // for VMs of a group

	MaxName      = 253 // bytes of a name, such as that of a VM
	maxHostName  = 255
	maxID        = 512 // of a decision or an instance, which contain names
	maxWord      = 64  // a phase, a state, a hash
	MaxVMError   = 100 // so that a sample with many of them fits
	maxVCPUs     = 4096
	maxMemoryMiB = 1 << 30
	maxPercent   = 1e6 // 100 is all of something; measuring overshoots, but not as much as this
	maxRate      = 1e9 // MiB/s
	maxDesired   = 1_000_000
	maxProblems  = 16     // in a health message
	maxElements  = 10_000 // of a list or an object
	maxAll       = 400_000
	maxDepth     = 32
)

// Bytes of a message, by its kind. Those that are in the history are smaller than what its streams take.
const (
	// MaxPayload is the largest message: the sample of 10,000 VMs, with about 400 bytes each, and with 100 more for half
	// of them (long names, an error). A larger one is refused by the server, which ends the sender's connection.
	MaxPayload = 5 << 20
	// MaxDecisionBytes is the most of all that the history keeps.
	MaxDecisionBytes = 256 << 10
	maxEventBytes    = 32 << 10
	maxHealthBytes   = 16 << 10
	maxMetricBytes   = 4 << 10
	maxDemandBytes   = 32 << 10
	maxAnswerBytes   = 64 << 10
)

// ErrUnfit is why a message is not sent, whatever the state of the connection: its receivers would refuse it.
var ErrUnfit = errors.New("its receivers would refuse it")

// Cut is a text that is short enough for a message.
func Cut(text string) string { return cutTo(text, MaxText) }

func cutTo(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	const rest = "..."
	end := most - len(rest)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + rest
}

// cutter is a message with texts of any length, which are cut where it is sent.
type cutter interface{ cut() }

func (s *Sample) cut() {
	for i := range s.VMs {
		if e := &s.VMs[i].Error; len(*e) > MaxVMError {
			*e = cutTo(*e, MaxVMError)
		}
	}
}

func (d *Decision) cut() {
	d.Sentence = Cut(d.Sentence)
	for i := range d.Recommendations {
		d.Recommendations[i].Sentence = Cut(d.Recommendations[i].Sentence)
	}
	for i := range d.Shadow {
		d.Shadow[i].Sentence = Cut(d.Shadow[i].Sentence)
	}
}

func (e *Event) cut() { e.Sentence, e.Error = Cut(e.Sentence), Cut(e.Error) }

func (h *Health) cut() { h.Message = Cut(h.Message) }

func (m *Metric) cut() { m.Error = Cut(m.Error) }

// The bytes that a message of each kind may have.
func (s *Sample) most() int     { return MaxPayload }
func (d *Decision) most() int   { return MaxDecisionBytes }
func (e *Event) most() int      { return maxEventBytes }
func (h *Health) most() int     { return maxHealthBytes }
func (m *Metric) most() int     { return maxMetricBytes }
func (d *Demand) most() int     { return maxDemandBytes }
func (s *Status) most() int     { return MaxPayload }
func (c *Controls) most() int   { return maxAnswerBytes }
func (r *Refresh) most() int    { return maxAnswerBytes }
func (a *HookAnswer) most() int { return maxAnswerBytes }
func (w *Wake) most() int       { return maxAnswerBytes }
func (a *VMAnswer) most() int   { return maxAnswerBytes }

// Of as many VMs as a sample may have.
func (v *Victims) most() int       { return MaxPayload }
func (a *VictimsAnswer) most() int { return MaxPayload }

// CheckShape refuses JSON that would take much more memory than its bytes: lists of many small or empty things. It says
// nothing about whether the text is JSON at all.
func CheckShape(data []byte) error {
	var elements [maxDepth]int // in the lists and objects around the present byte
	depth, all := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth == maxDepth {
				return fmt.Errorf("it is nested deeper than %d", maxDepth-1)
			}
			elements[depth] = 1
			all++
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			all++
			if elements[depth]++; elements[depth] > maxElements {
				return fmt.Errorf("a list has more than %d elements", maxElements)
			}
		}
		if all > maxAll {
			return fmt.Errorf("it has more than %d elements", maxAll)
		}
	}
	return nil
}

// checkBytes checks what can be checked before decoding.
func checkBytes(data []byte, most int) error {
	if len(data) > most {
		return fmt.Errorf("it has %d bytes, %d are allowed", len(data), most)
	}
	return CheckShape(data)
}

// bounds checks a message's fields; it keeps the first violation.
type bounds struct{ err error }

func (b *bounds) refuse(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// name is for what is shown and becomes part of a subject.
func (b *bounds) name(field, s string, most int) {
	switch {
	case len(s) > most:
		b.refuse("%s: found %d bytes, %d are allowed", field, len(s), most)
	case strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 || !utf8.ValidString(s):
		b.refuse("%s: found %q, want printable characters", field, Clip(s, 80))
	}
}

// CheckDomainName reports what is wrong with the name of a domain that is to be a VM: without this no message could name it, nor
// the others beside it. libvirt allows more.
func CheckDomainName(name string) error {
	var b bounds
	b.name("name", name, MaxName)
	return b.err
}

func (b *bounds) text(field, s string) {
	if len(s) > MaxText {
		b.refuse("%s: found %d bytes, %d are allowed", field, len(s), MaxText)
	}
}

func (b *bounds) number(field string, v, most float64) {
	if v < 0 || v > most || math.IsNaN(v) {
		b.refuse("%s: found %v, want 0 to %v", field, v, most)
	}
}

func (b *bounds) known(field string, v *float64, most float64) {
	if v != nil {
		b.number(field, *v, most)
	}
}

func (b *bounds) knownInt(field string, v *int, most float64) {
	if v != nil {
		b.number(field, float64(*v), most)
	}
}

// address is "" or one in its canonical form.
func (b *bounds) address(field, s string) {
	if s == "" {
		return
	}
	var text [len("0000:0000:0000:0000:0000:0000:255.255.255.255")]byte // a sample has as many addresses as VMs: none is allocated
	if a, usable := UsableAddress(s); !usable || string(a.AppendTo(text[:0])) != s {
		b.refuse("%s: found %.80q, want an IP address in its canonical form", field, s)
	}
}

func (b *bounds) count(field string, n, most int) {
	if n > most {
		b.refuse("%s: found %d, %d are allowed", field, n, most)
	}
}

func (s *Sample) bounds() error {
	var b bounds
	b.name("group", s.Group, MaxName)
	b.name("host_id", string(s.HostID), maxHostName)
	b.name("host", s.Host, maxHostName)
	b.name("instance", s.Instance, maxID)
	b.name("spec_hash", s.SpecHash, maxWord)
	b.number("elapsed_ms", s.ElapsedMS, math.MaxFloat64)
	b.count("vms", len(s.VMs), MaxVMs)
	h := s.HostLoad
	b.known("host_load.cpu_percent", h.CPUPercent, maxPercent)
	b.number("host_load.cores", float64(h.Cores), maxVCPUs)
	b.number("host_load.memory_mib", float64(h.MemoryMiB), maxMemoryMiB)
	b.knownInt("host_load.memory_free_mib", h.MemoryFreeMiB, maxMemoryMiB)
	b.knownInt("host_load.pool_free_mib", h.PoolFreeMiB, math.MaxInt64)
	for i := range s.VMs {
		if b.err != nil {
			return fmt.Errorf("sample: %w", b.err)
		}
		vm := &s.VMs[i]
		b.name("vms.name", vm.Name, MaxName)
		b.name("vms.uuid", vm.UUID, maxWord)
		b.name("vms.state", string(vm.State), maxWord)
		b.name("vms.phase", string(vm.Phase), maxWord)
		b.name("vms.template", vm.Template, longestName)
		b.name("vms.machine", vm.Machine, maxWord)
		b.order("vms.order", vm.Order)
		b.text("vms.error", vm.Error)
		b.known("vms.cpu_percent", vm.CPUPercent, maxPercent)
		b.known("vms.run_delay_percent", vm.RunDelayPercent, maxPercent)
		b.number("vms.vcpus", float64(vm.VCPUs), maxVCPUs)
		b.number("vms.memory_mib", float64(vm.MemoryMiB), maxMemoryMiB)
		b.knownInt("vms.memory_used_mib", vm.MemoryUsedMiB, maxMemoryMiB)
		b.address("vms.address", vm.Address)
		b.count("vms.forwards", len(vm.Forwards), MaxNICs*MaxForwards)
		for guest, host := range vm.Forwards {
			b.number("vms.forwards", float64(guest), math.MaxUint16)
			b.number("vms.forwards", float64(host), math.MaxUint16)
		}
		if r := vm.Rates; r != nil {
			b.known("vms.rates.network_rx_mib_s", r.NetworkRx, maxRate)
			b.known("vms.rates.network_tx_mib_s", r.NetworkTx, maxRate)
			b.known("vms.rates.disk_read_mib_s", r.DiskRead, maxRate)
			b.known("vms.rates.disk_write_mib_s", r.DiskWrite, maxRate)
		}
	}
	return b.of("sample")
}

func (d *Decision) bounds() error {
	var b bounds
	b.name("group", d.Group, MaxName)
	b.name("id", d.ID, maxID)
	b.name("direction", string(d.Direction), maxWord)
	b.name("rule", string(d.Rule), maxWord)
	b.name("guard", string(d.Guard), maxWord)
	b.name("spec_hash", d.SpecHash, maxWord)
	b.text("sentence", d.Sentence)
	b.number("current", float64(d.Current), maxDesired)
	b.number("desired", float64(d.Desired), maxDesired)
	b.count("shares", len(d.Shares), MaxHosts)
	for host, share := range d.Shares {
		b.name("shares", string(host), maxHostName)
		b.name("shares.host", share.Host, maxHostName)
		b.number("shares.vms", float64(share.VMs), maxDesired)
		b.count("shares.numbers", len(share.Numbers), maxElements)
		b.number("shares.retire", float64(share.Retire), maxDesired)
		b.number("shares.release", float64(share.Release), maxDesired)
		b.number("shares.warm", float64(share.Warm), maxDesired)
	}
	b.count("wishes", len(d.Recommendations), maxWord)
	for _, w := range d.Recommendations {
		b.name("wishes.policy", string(w.Policy), maxWord)
		b.text("wishes.sentence", w.Sentence)
	}
	b.count("shadow", len(d.Shadow), maxWord)
	for _, w := range d.Shadow {
		b.name("shadow.policy", string(w.Policy), maxWord)
		b.text("shadow.sentence", w.Sentence)
	}
	b.name("machine", d.Machine, maxWord)
	b.count("orders", len(d.Orders), MaxOrders)
	for uuid, o := range d.Orders {
		b.name("orders", uuid, maxWord)
		b.order("orders", &o)
	}
	b.attach(d.Attach)
	b.hosts(d.Hosts)
	b.text("risk", d.Risk)
	b.count("places", len(d.Places), MaxHosts)
	for _, part := range []interface{ bounds() error }{&d.Controls, d.Refresh} {
		if b.err == nil {
			b.err = part.bounds()
		}
	}
	return b.of("decision")
}

func (c *Controls) bounds() error {
	var b bounds
	b.count("paused", len(c.Paused), maxWord)
	b.name("by", c.By, maxHostName)
	b.reason(c.Reason)
	b.count("said", len(c.Said), maxWord)
	for kind, s := range c.Said {
		b.name("said", string(kind), maxWord)
		b.name("said.by", s.By, maxHostName)
		b.reason(s.Reason)
	}
	b.settings(c.Set)
	return b.of("controls")
}

// settings are fields of the config that a person has set.
func (b *bounds) settings(set map[string]string) {
	b.count("set", len(set), maxWord)
	for key, value := range set {
		b.name("set", key, MaxName)
		b.text("set."+Clip(key, 80), value)
	}
}

func (e *Event) bounds() error {
	var b bounds
	b.name("group", e.Group, MaxName)
	b.name("vm", e.VM, MaxName)
	b.name("event", string(e.Event), maxWord)
	b.name("host", e.Host, maxHostName)
	b.name("decision_id", e.DecisionID, maxID)
	b.name("token", e.Token, MaxName)
	b.name("hook", e.Hook, maxWord)
	b.name("by", e.By, maxHostName)
	b.reason(e.Reason)
	b.text("sentence", e.Sentence)
	b.text("error", e.Error)
	b.number("elapsed_ms", float64(e.ElapsedMS), math.MaxInt64)
	b.count("console", len(e.Console), MaxConsoleLines)
	for _, line := range e.Console {
		b.text("console", line)
	}
	return b.of("event")
}

func (h *Health) bounds() error {
	var b bounds
	b.name("stage", h.Stage, maxWord)
	b.name("instance", h.Instance, maxID)
	b.name("version", h.Version, MaxName)
	b.text("message", h.Message)
	b.count("problems", len(h.Problems), maxProblems)
	b.count("calls", len(h.Calls), maxCalls)
	for _, c := range h.Calls {
		b.name("calls.api", c.API, maxWord)
		b.name("calls.call", c.Call, maxWord)
		b.number("calls.sum_ms", c.SumMS, math.MaxFloat64)
		b.count("calls.within", len(c.Within), maxWord)
	}
	for _, p := range h.Problems {
		b.name("code", string(p.Code), maxWord)
		b.name("subject", p.Subject, maxWord)
	}
	if h.Acts != nil {
		b.count("hooks", len(h.Acts.Hooks), MaxPendingHooks)
		for _, p := range h.Acts.Hooks {
			b.name("group", p.Group, MaxName)
			b.name("vm", p.VM, MaxName)
			b.name("name", p.Name, maxWord)
			b.name("token", p.Token, maxWord)
		}
	}
	return b.of("health")
}

func (q *Query) bounds() error {
	var b bounds
	b.name("group", q.Group, MaxName)
	b.count("scopes", len(q.Scopes), maxWord)
	b.count("keys", len(q.Keys), maxWord)
	b.name("by", q.By, maxHostName)
	b.reason(q.Reason)
	b.name("token", q.Token, MaxName)
	b.name("vm", q.VM, MaxName)
	b.name("action", string(q.Action), maxWord)
	b.name("host", q.Host, maxHostName)
	b.name("host_action", string(q.HostAction), maxWord)
	b.settings(q.Set)
	return b.err
}

func (b *bounds) of(kind string) error {
	if b.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", kind, b.err)
}
