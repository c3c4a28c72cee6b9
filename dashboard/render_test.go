package dashboard

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/vmscaler/vmscaler/bus"
)

var update = flag.Bool("update", false, "write the golden files again")

// busy is a group of five VMs in the middle of scaling out, with a minute of history.
func busy() (*Content, time.Time) {
	m := NewContent(start)
	m.Title, m.Footer = "vmscaler", "nats://127.0.0.1:4222   log /tmp/vmscaler.log"
	m.Link = Link{URL: "nats://127.0.0.1:4222", Connected: true}
	for i := range 61 {
		vms := []bus.VM{}
		for n := range 5 {
			cpu := ptr(float64((i*3 + n*25) % 120))
			if i > 20 && i < 30 {
				cpu = nil
			}
			v := vm(fmt.Sprintf("autoscale-%d", n+1), cpu)
			v.MemoryUsedMiB = ptr(90 + n*20)
			vms = append(vms, v)
		}
		vms[3].Phase, vms[3].CPUPercent, vms[3].MemoryUsedMiB, vms[3].PhaseSince = bus.PhaseLaunching, nil, nil, at(48)
		vms[3].Created = at(47)
		vms[4].State = bus.StatePaused
		m.Sample(sample("autoscale", "kvm1", float64(i), vms...), at(float64(i)))
	}
	d := decision("autoscale", 47)
	d.Direction, d.Current, d.Desired, d.Rule, d.Sentence = bus.Out, 4, 5, bus.RuleAboveUpper,
		"scaling out: average 93 % > 70 % for 3 s"
	m.Decision(d, at(47))
	m.Event(bus.Event{
		Group: "autoscale", VM: "autoscale-4", Event: bus.EventCreating, Sentence: "cloning demo", Time: at(47.2),
		ElapsedMS: 120,
	}, at(47.2))
	m.Event(bus.Event{
		Group: "autoscale", VM: "autoscale-4", Event: bus.EventStarted, Sentence: "the domain runs", Time: at(48),
		ElapsedMS: 420,
	}, at(48))
	m.Event(bus.Event{
		Group: "autoscale", VM: "autoscale-6", Event: bus.EventFailed, Sentence: "undone",
		Error: "start: cannot allocate memory", Time: at(49),
	}, at(49))
	d = decision("autoscale", 60)
	d.Current, d.Desired, d.Rule, d.Guard = 5, 5, bus.RuleAboveUpper, bus.GuardComing
	d.Sentence = "average 93 % > 70 %, but 1 pending VM will make it 47 %"
	d.Inputs.AveragePercent, d.Inputs.Owned, d.Inputs.Ready, d.Inputs.Launching = ptr(93.4), 5, 4, 1
	m.Decision(d, at(60))
	for _, stage := range []string{"actuator", "collector", "decider"} {
		m.Health(health(stage, 60), at(60))
	}
	return m, at(60.4)
}

// crowded has several groups and hosts, many VMs, and things that are wrong.
func crowded() (*Content, time.Time) {
	m, now := busy()
	for n, name := range []string{"api", "batch", "web"} {
		for _, host := range []string{"kvm1.example.org", "kvm2.example.org"} {
			vms := []bus.VM{}
			for i := range 4 + n*4 {
				vms = append(vms, vm(fmt.Sprintf("%s-%d", name, i+1), ptr(float64(i*11%110))))
			}
			m.Sample(sample(name, host, 60, vms...), at(60))
		}
	}
	d := decision("queue", 60) // known from its decisions only
	d.Guard, d.Rule, d.Sentence = bus.GuardCooldown, bus.RuleBelowLower, "cooling down 12 s: average 3 % < 20 %"
	d.Inputs.CooldownMS = 12000
	m.Decision(d, at(58))
	h := health("actuator", 60)
	h.OK, h.Message = false, "storage pool default is not active"
	m.Health(h, at(60))
	m.Sample(sample("api", "kvm2.example.org", 61, vm("api-9", ptr(50.0))), at(52)) // not heard of since
	m.Dropped = 3
	return m, now
}

// held is a group that a person holds, with a brake on, a protected VM and one whose counter is stuck.
func held() (*Content, time.Time) {
	m := NewContent(start)
	m.Title, m.Footer, m.Link = "vmscaler", "bus nats://127.0.0.1:4222", Link{URL: "nats://127.0.0.1:4222", Connected: true}
	protected, stuck := vm("web-1", ptr(91.0)), vm("web-2", nil)
	protected.Protected = true
	stuck.Error = "its CPU counter has not moved for 7 s"
	m.Sample(sample("web", "kvm1", 0, protected, stuck), start)
	d := decision("web", 0)
	d.Rule, d.Guard, d.Sentence = bus.RuleAboveUpper, bus.GuardPaused, "paused, else scaling out: average 91 % > 70 % for 3 s"
	d.Inputs.AveragePercent = ptr(91.0)
	d.Controls = bus.Controls{Paused: []bus.Scope{bus.ScopeOut, bus.ScopeIn}, DryRun: true, By: "ann@kvm1"}
	m.Decision(d, start)
	dark := decision("dark", 0)
	dark.Rule, dark.Sentence = bus.RuleBlind, "blind for 1m05s: no fresh sample from kvm2"
	dark.Inputs.AveragePercent = nil
	dark.Controls.Paused = bus.Scopes()
	m.Decision(dark, start)
	h := health("actuator", 0)
	h.OK, h.Message = false, "group web: 5 launches in a row have failed, next try at 15:09:05: no space left"
	m.Health(h, start)
	for _, e := range []bus.Event{
		{Event: bus.EventControl, Sentence: "paused: out, in; dry run; by ann@kvm1"},
		{Event: bus.EventBraked, Sentence: "5 launches in a row have failed, next try in 5 m", Error: "no space left"},
		{Event: bus.EventDryRun, VM: "web-3", Sentence: "would be made"},
	} {
		e.Group, e.Time = "web", start
		m.Event(e, start)
	}
	return m, at(1)
}

func hostile() (*Content, time.Time) {
	m := NewContent(start)
	v := vm("\x1b[31m日本語の仮想マシン\u202eevil\u200d👩\u200d👩\n", ptr(512.0))
	v.Error = "line\r\none\x9b2J"
	v.State, v.Phase = "\x1b]0;x\x07", "\t\t\t"
	v.MemoryMiB, v.VCPUs = 1<<40, 1<<40
	m.Sample(sample("グループ\x1b[2J", "\x00", 0, v), start)
	d := decision("グループ\x1b[2J", 0)
	d.Inputs.UpperPercent, d.Inputs.LowerPercent, d.Inputs.AveragePercent = -5, 1e300, ptr(-1.0)
	d.Sentence = "\x1b[2J\xff\xfe" + strings.Repeat("長", 200)
	d.Direction, d.Desired = bus.Out, 1<<40
	m.Decision(d, start)
	m.Event(bus.Event{Group: "x", VM: "\x1b[H", Event: "\x1b[2J", Sentence: "\x7f\u0085", Error: "\x1b", Time: start}, start)
	m.Health(bus.Health{Stage: "\x1b[2J", Instance: "界", Message: "\x1bc", Time: start}, start)
	m.Title, m.Footer = "\x1b[2J", "\x1b[2J"
	return m, at(1)
}

// many is one group of 500 VMs, on two hosts.
func many() (*Content, time.Time) {
	m := NewContent(start)
	for _, host := range []string{"kvm1", "kvm2"} {
		var vms []bus.VM
		for i := range 250 {
			vms = append(vms, vm(fmt.Sprintf("web-%s-%d", host, i+1), ptr(float64(i%100))))
		}
		m.Sample(sample("web", host, 0, vms...), start)
	}
	m.Decision(decision("web", 0), start)
	return m, at(1)
}

func TestRenderGolden(t *testing.T) {
	full := Style{Color: true, Unicode: true}
	mono := Style{Unicode: true}
	type model func() (*Content, time.Time)
	after := func(of model, keys string) model {
		return func() (*Content, time.Time) {
			m, now := of()
			m.Explain = func(d bus.Decision) []string {
				return []string{d.Sentence, "", "VMs    5 owned", "What would change it:"}
			}
			typed(t, m, now, keys)
			return m, now
		}
	}
	lost := func() (*Content, time.Time) {
		m, _ := busy()
		m.Link.Connected = false
		return m, at(72)
	}
	empty := func() (*Content, time.Time) {
		m := NewContent(start)
		m.Title, m.Link = "vmscaler", Link{URL: "nats://127.0.0.1:4222", Connected: true}
		return m, at(4)
	}
	for name, tt := range map[string]struct {
		model         model
		width, height int
		style         Style
	}{
		"busy-80x24-color":   {busy, 80, 24, full},
		"busy-80x24":         {busy, 80, 24, mono},
		"busy-80x24-ascii":   {busy, 80, 24, Style{}},
		"busy-120x40":        {busy, 120, 40, mono},
		"busy-20x5":          {busy, 20, 5, mono},
		"busy-40x12":         {busy, 40, 12, mono},
		"crowded-80x24":      {crowded, 80, 24, mono},
		"crowded-120x40":     {crowded, 120, 40, mono},
		"crowded-160x60":     {crowded, 160, 60, full},
		"crowded-20x5":       {crowded, 20, 5, mono},
		"held-80x24":         {held, 80, 24, mono},
		"held-40x12":         {held, 40, 12, mono},
		"hostile-80x24":      {hostile, 80, 24, mono},
		"lost-80x24":         {lost, 80, 24, mono},
		"waiting-80x24":      {empty, 80, 24, mono},
		"list-80x24":         {after(crowded, "jjj"), 80, 24, mono},
		"list-80x24-color":   {after(busy, "jjj"), 80, 24, full},
		"list-40x12":         {after(crowded, "*jj"), 40, 12, mono},
		"list-200x60":        {after(crowded, "oo"), 200, 60, mono},
		"filter-80x24":       {after(crowded, "/b-1"), 80, 24, mono},
		"events-80x24":       {after(busy, "ej"), 80, 24, mono},
		"vm-80x24":           {after(busy, "jjj\r"), 80, 24, mono},
		"vm-40x12":           {after(held, "jjj\r"), 40, 12, mono},
		"decision-80x24":     {after(busy, "jx"), 80, 24, mono},
		"help-80x24":         {after(busy, "?"), 80, 24, mono},
		"help-40x12-ascii":   {after(readOnly, "?"), 40, 12, Style{}},
		"confirm-80x24":      {after(busy, "jp"), 80, 24, mono},
		"scale-40x12":        {after(busy, "js12"), 40, 12, mono},
		"read-only-80x24":    {after(readOnly, "jp"), 80, 24, mono},
		"by-hand-80x24":      {after(scaledByHand, ""), 80, 24, mono},
		"waiting-20x5-ascii": {empty, 20, 5, Style{}},
	} {
		t.Run(name, func(t *testing.T) {
			m, now := tt.model()
			lines := Render(m, tt.width, tt.height, now, tt.style)
			checkBounds(t, lines, tt.width, tt.height, tt.style)
			got := strings.ReplaceAll(strings.Join(lines, "\n"), "\x1b", "␛") + "\n"
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant (-update writes it):\n%s", got, want)
			}
		})
	}
}

func TestRenderStaysInBounds(t *testing.T) {
	models := map[string]func() (*Content, time.Time){
		"busy": busy, "crowded": crowded, "hostile": hostile, "held": held,
		"empty":   func() (*Content, time.Time) { return NewContent(start), at(10) },
		"later":   func() (*Content, time.Time) { m, _ := crowded(); return m, at(500) },
		"500 VMs": many,
	}
	places := map[string]string{
		"overview": "", "list": "jj", "filter": "/a", "events": "ej", "VM": "jj\r", "decision": "jx", "help": "?", "confirm": "jp",
		"number": "js9", "folded": "*j",
	}
	for name, model := range models {
		for place, keys := range places {
			if name != "hostile" && name != "crowded" && place != "list" && place != "overview" {
				continue // they show no more there
			}
			m, now := model()
			typed(t, m, now, keys)
			name := name + ", " + place
			for width := 1; width <= 200; width += 1 + width/4 {
				for height := 1; height <= 60; height += 1 + height/3 {
					for _, style := range []Style{{}, {Unicode: true}, {Color: true, Unicode: true}} {
						m.session = m.session.settle(m, width, height, now, style)
						checkBounds(t, Render(m, width, height, now, style), width, height, style)
					}
					if t.Failed() {
						t.Fatalf("%s at %dx%d", name, width, height)
					}
				}
			}
		}
	}
	if lines := Render(NewContent(start), 0, 0, start, Style{}); len(lines) != 0 {
		t.Errorf("%d lines in no room", len(lines))
	}
}

// checkBounds measures with the library's own function, by what a terminal would show.
func checkBounds(t *testing.T, lines []string, width, height int, style Style) {
	t.Helper()
	if len(lines) > height {
		t.Errorf("%d lines, want at most %d", len(lines), height)
	}
	for i, l := range lines {
		text := stripColor(l)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || (r >= 0x7f && r < 0xa0) }) {
			t.Errorf("line %d has a control character: %q", i, l)
		}
		if w := runewidth.StringWidth(text); w > width {
			t.Errorf("line %d is %d wide, want at most %d: %q", i, w, width, l)
		}
		if w := visibleWidth(l); w > width {
			t.Errorf("line %d measures itself as %d wide, want at most %d: %q", i, w, width, l)
		}
		if !style.Color && text != l {
			t.Errorf("line %d has an escape sequence without colour: %q", i, l)
		}
		if !style.Unicode && strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
			t.Errorf("line %d is not ASCII: %q", i, l)
		}
	}
}

// stripColor takes the colours off, and only colours.
func stripColor(l string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(l, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		end := strings.IndexFunc(after, func(r rune) bool { return (r < '0' || r > '9') && r != ';' })
		if end < 0 || after[end] != 'm' {
			b.WriteByte('\x1b') // not a colour: leave it to be found
			l = after
			continue
		}
		l = after[end+1:]
	}
}

func TestCPUColor(t *testing.T) {
	for _, tt := range []struct {
		cpu   *float64
		upper float64
		want  tone
	}{
		{nil, 70, toneDim},
		{ptr(0.0), 70, toneGood},
		{ptr(30.0), 70, toneGood},
		{ptr(30.1), 70, toneWarn},
		{ptr(70.0), 70, toneWarn},
		{ptr(70.1), 70, toneBad},
		{ptr(400.0), 70, toneBad},
		{ptr(20.0), 10, toneBad}, // upper below 30: red comes first
		{ptr(10.0), 10, toneGood},
		{ptr(99.0), 0, toneWarn}, // upper not known
	} {
		if got := cpuTone(tt.cpu, tt.upper); got != tt.want {
			t.Errorf("%s with upper %g: tone %d, want %d", show(tt.cpu), tt.upper, got, tt.want)
		}
	}
}

func TestActivity(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*bus.Decision)
		after  float64
		want   string
	}{
		"stable": {func(*bus.Decision) {}, 0, "stable: average 45 %"},
		"out": {func(d *bus.Decision) {
			d.Direction, d.Sentence = bus.Out, "scaling out: average 93 % > 70 % for 3 s"
		}, 0, "scaling out: average 93 % > 70 % for 3 s"},
		"the sentence adds to it": {func(d *bus.Decision) {
			d.Direction, d.Sentence = bus.In, "scaling in to max 3"
		}, 0, "scaling in to max 3"},
		"on the way": {func(d *bus.Decision) {
			d.Desired, d.Inputs.Launching = 3, 1
		}, 0, "launching 1 VM: average 45 %"},
		"on the way out": {func(d *bus.Decision) { d.Inputs.Owned, d.Inputs.Leaving = 3, 1 }, 0, "removing 1 VM: average 45 %"},
		"another is made for one that retires": {func(d *bus.Decision) {
			d.Inputs.Owned, d.Inputs.Launching, d.Rule, d.Guard = 3, 1, bus.RuleBelowLower, bus.GuardAtMin
			d.Sentence = "idle at min 1: average 1 % < 20 %"
		}, 0, "idle at min 1: average 1 % < 20 %"},
		"one stands by": {func(d *bus.Decision) { d.Inputs.Owned = 3 }, 0, "stable: average 45 %"},
		"the cooldown goes on": {func(d *bus.Decision) {
			d.Guard, d.Inputs.CooldownMS, d.Sentence = bus.GuardCooldown, 12000, "cooling down 12 s: average 3 % < 20 %"
		}, 2.5, "cooling down 10 s: average 3 % < 20 %"},
		"above, not for long": {func(d *bus.Decision) {
			d.Rule, d.Guard, d.Sentence = bus.RuleAboveUpper, bus.GuardBreaches, "average 93 % > 70 %, 1 of 3 samples"
		}, 0, "busy: average 93 % > 70 %, 1 of 3 samples"},
		"at max": {func(d *bus.Decision) {
			d.Rule, d.Guard, d.Sentence = bus.RuleAboveUpper, bus.GuardAtMax, "at max 5: average 93 % > 70 %"
		}, 0, "at max 5: average 93 % > 70 %"},
		"at min": {func(d *bus.Decision) {
			d.Rule, d.Guard, d.Sentence = bus.RuleBelowLower, bus.GuardAtMin, "idle at min 1: average 2 % < 20 %"
		}, 0, "idle at min 1: average 2 % < 20 %"},
		"the last of a group that may have none": {func(d *bus.Decision) {
			d.Rule, d.Guard, d.Inputs.Min = bus.RuleBelowLower, bus.GuardAtMin, 0
			d.Sentence = "idle with its last VM, which goes in 5m: average 2 % < 20 %"
		}, 0, "idle with its last VM: which goes in 5m: average 2 % < 20 %"},
		"asleep": {func(d *bus.Decision) {
			d.Rule, d.Desired, d.Inputs.Owned, d.Sentence = bus.RuleAsleep, 0, 0, "asleep: woken by a request for it"
		}, 0, "asleep: woken by a request for it"},
		"falling asleep": {func(d *bus.Decision) {
			d.Rule, d.Desired, d.Inputs.Owned, d.Direction = bus.RuleAsleep, 0, 1, bus.Hold
			d.Inputs.Leaving = 1
		}, 0, "removing 1 VM: average 45 %"},
		"nothing known": {func(d *bus.Decision) {
			d.HasSample, d.Rule, d.Sentence = false, bus.RuleNoData, "waiting for the first sample"
		}, 0, "waiting for the first sample"},
		"blind": {func(d *bus.Decision) {
			d.HasSample, d.Rule, d.Sentence = false, bus.RuleBlind, "blind for 1m05s: no fresh sample from kvm2"
		}, 0, "blind for 1m05s: no fresh sample from kvm2"},
		"paused": {func(d *bus.Decision) {
			d.Rule, d.Guard, d.Sentence = bus.RuleAboveUpper, bus.GuardPaused, "paused, else scaling out: average 93 % > 70 % for 3 s"
		}, 0, "paused: else scaling out: average 93 % > 70 % for 3 s"},
		"too many are still there": {func(d *bus.Decision) {
			d.Direction, d.Inputs.Owned = bus.In, 4
		}, 0, "scaling in: average 45 %"},
		"waiting need not hold": {func(d *bus.Decision) {
			d.HasSample, d.Rule, d.Sentence = false, bus.RuleNoData, "holding: waiting for the first sample"
		}, 0, "waiting for the first sample"},
		"in other words": {func(d *bus.Decision) {
			d.Rule, d.Guard, d.Sentence = bus.RuleAboveUpper, bus.GuardAtMax, "stable: there is no room for more"
		}, 0, "at max 5: stable: there is no room for more"},
		"other words of a cooldown": {func(d *bus.Decision) {
			d.Guard, d.Inputs.CooldownMS, d.Sentence = bus.GuardCooldown, 12000, "coolingly, 12 s"
		}, 2.5, "cooling down 10 s: coolingly, 12 s"},
		"no sentence":   {func(d *bus.Decision) { d.Sentence = "" }, 0, "stable"},
		"it is too old": {func(*bus.Decision) {}, 12, "no decision for 12 s, the last: stable: average 45 %"},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewContent(start)
			d := decision("web", 0)
			tt.change(&d)
			m.Decision(d, start)
			a := activityOf(m.Group("web"), at(tt.after))
			if got := a.label + a.rest; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStaleCPUIsNotShown(t *testing.T) {
	m := NewContent(start)
	m.Sample(sample("web", "kvm1", 0, vm("web-1", ptr(88.0))), start)
	fresh := strings.Join(Render(m, 80, 24, at(1), Style{}), "\n")
	if !strings.Contains(fresh, "88 %") {
		t.Errorf("the CPU is not shown:\n%s", fresh)
	}
	stale := strings.Join(Render(m, 80, 24, at(7), Style{}), "\n")
	if strings.Contains(stale, "88 %") || !strings.Contains(stale, "no sample for 7 s") {
		t.Errorf("want no figure, and why:\n%s", stale)
	}
}

func TestBreakLine(t *testing.T) {
	for _, tt := range []struct {
		text        string
		width       int
		first, rest string
	}{
		{"a b c", 5, "a b c", ""},
		{"a b c", 4, "a b", "c"},
		{"a b c", 3, "a b", "c"},
		{"ab cd ef", 3, "ab", "cd ef"},
		{"abcdef", 3, "abcdef", ""},
		{"界界 界", 5, "界界", "界"},
		{"a b", 0, "a b", ""},
	} {
		if first, rest := breakLine(tt.text, tt.width); first != tt.first || rest != tt.rest {
			t.Errorf("%q at %d: got %q and %q, want %q and %q", tt.text, tt.width, first, rest, tt.first, tt.rest)
		}
	}
}

func TestStyleFromEnv(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want Style
	}{
		"usual":                   {map[string]string{"TERM": "xterm", "LANG": "en_US.UTF-8"}, Style{Color: true, Unicode: true}},
		"NO_COLOR":                {map[string]string{"TERM": "xterm", "LANG": "C.utf8", "NO_COLOR": "0"}, Style{Unicode: true}},
		"NO_COLOR empty":          {map[string]string{"LANG": "C.utf8", "NO_COLOR": ""}, Style{Color: true, Unicode: true}},
		"dumb":                    {map[string]string{"TERM": "dumb", "LANG": "C.UTF-8"}, Style{}},
		"not UTF-8":               {map[string]string{"TERM": "xterm", "LANG": "C"}, Style{Color: true}},
		"nothing set":             {nil, Style{Color: true}},
		"LC_ALL comes first":      {map[string]string{"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, Style{Color: true}},
		"LC_CTYPE before LANG":    {map[string]string{"LC_CTYPE": "C.UTF-8", "LANG": "C"}, Style{Color: true, Unicode: true}},
		"an empty LC_ALL is none": {map[string]string{"LC_ALL": "", "LANG": "C.UTF-8"}, Style{Color: true, Unicode: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := StyleFromEnv(func(key string) string { return tt.env[key] }); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 125 * time.Second: "2m05s", 62 * time.Minute: "1h02m",
		76 * time.Hour: "3d04h", 4000 * time.Hour: "166d",
	} {
		if got := age(d); got != want || len(got) > 6 {
			t.Errorf("age(%s) = %q, want %q", d, got, want)
		}
	}
	for mib, want := range map[int]string{
		0: "0 MiB", 1023: "1023 MiB", 1536: "1.5 GiB", 200 * 1024: "200 GiB",
		20 * 1024 * 1024: "20.0 TiB",
	} {
		if got := size(&mib); got != want {
			t.Errorf("size(%d) = %q, want %q", mib, got, want)
		}
	}
	if got := size(nil); got != "–" {
		t.Errorf("size(nil) = %q", got)
	}
}

// What a shadow policy would want is beside what is done, where there is room for it.
func TestShadowIsShown(t *testing.T) {
	m := NewContent(start)
	m.Sample(sample("web", "kvm1", 0, vm("web-1", ptr(88.0))), start)
	d := decision("web", 0)
	d.Shadow = []bus.Recommendation{{Policy: bus.PolicyPredictive, Desired: 4}, {Policy: bus.PolicyStep, Desired: 2}}
	m.Decision(d, start)
	if wide := strings.Join(Render(m, 120, 24, at(1), Style{}), "\n"); !strings.Contains(wide, "shadow predictive 4, step 2") {
		t.Errorf("it is not shown:\n%s", wide)
	}
	if narrow := strings.Join(Render(m, 30, 24, at(1), Style{}), "\n"); strings.Contains(narrow, "predictive") {
		t.Errorf("it pushes out what matters more:\n%s", narrow)
	}
}
