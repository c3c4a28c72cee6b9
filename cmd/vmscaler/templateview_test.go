package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

var viewTime = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// ownedVM is a VM that was ready some seconds after its creation; 0 is not yet.
func ownedVM(name, of string, seconds int, phase bus.Phase) vm.VM {
	m := bus.Metadata{Group: "web", Template: of, Created: viewTime, Pool: "vms", Volume: name + ".12345678.qcow2", Phase: phase}
	if seconds > 0 {
		m.Booted = viewTime.Add(time.Duration(seconds) * time.Second)
	}
	return vm.VM{Name: name, Meta: m}
}

func TestViewTemplate(t *testing.T) {
	owned := []vm.VM{
		ownedVM("web-1", "base", 9, bus.PhaseReady), ownedVM("web-2", "base", 5, bus.PhaseReady),
		ownedVM("web-3", "base", 0, bus.PhaseLaunching),
		ownedVM("web-4", "other", 70, bus.PhaseReady),
	}
	clones := []template.Clone{
		{Path: "/d/web-1", Pool: "vms", Volume: "web-1.12345678.qcow2", Domains: []string{"web-1"}},
		{Path: "/d/snap", Domains: []string{"web-2"}},
		{Path: "/d/web-3", Pool: "vms", Volume: "web-3.12345678.qcow2"},
		{Path: "/d/t", Pool: "vms", Volume: template.VolumeName("two")},
		{Path: "/d/x", Pool: "vms", Volume: "x"},
		{Path: "/d/y", Domains: []string{"mine"}},
	}
	info := template.Info{Name: "base", Complete: true, Capacity: 1 << 30, Firmware: template.FirmwareBIOS, Changed: viewTime}
	v := viewTemplate(info, "vms", clones, owned)
	var who []string
	for _, c := range v.Clones {
		who = append(who, c.who())
	}
	want := []string{"VM web-1", "VM web-2", "VM web-3", "template two", "volume x", "domain mine"}
	if !slices.Equal(who, want) || v.State != "ready" || v.Firmware != "bios" || v.BootMS == nil ||
		*v.BootMS != 5000 || v.BootVMs != 2 {
		t.Errorf("got %q, %+v", who, v)
	}
	for state, info := range map[string]template.Info{
		"broken": {Broken: errors.New("gone")}, "removing": {Going: true}, "incomplete": {},
	} {
		v := viewTemplate(info, "vms", nil, owned)
		text, err := json.Marshal(v)
		if err != nil || v.State != state || !strings.Contains(string(text), `"clones":[]`) ||
			strings.Contains(string(text), "boot_ms") || strings.Contains(string(text), "changed") {
			t.Errorf("%s: %s, %v", state, text, err)
		}
	}
	creating := []vm.VM{owned[0], ownedVM("web-5", "base", 0, bus.PhaseCreating), ownedVM("web-6", "b", 0, bus.PhaseCreating)}
	if got := beingMade(creating, "base"); !slices.Equal(got, []string{"VM web-5, which is being made"}) {
		t.Errorf("being made: %q", got)
	}
	err := inUse(viewTemplate(info, "vms", clones, owned), []bus.Group{{Name: "web"}})
	var used *template.InUseError
	if !errors.As(err, &used) || !strings.Contains(err.Error(), "VM web-1 by /d/web-1; VM web-2 by") ||
		!strings.Contains(err.Error(), "`vmscaler down web`") {
		t.Errorf("in use: %v", err)
	}
	err = inUse(viewTemplate(info, "vms", clones, owned), nil)
	if !errors.As(err, &used) || strings.Contains(err.Error(), "down") || !strings.Contains(err.Error(), "ask who has it") {
		t.Errorf("in use by a group that is not in the config: %v", err)
	}
}

func TestTemplatesArePrinted(t *testing.T) {
	views := []templateView{
		{
			Name: "demo", State: templateReady, Format: "qcow2", CapacityBytes: 256 << 20, UsedBytes: 26 << 20, Changed: &viewTime,
			Clones: make([]cloneView, 2),
		},
		{Name: "lost", State: templateBroken, Problem: "its file\x1b is gone", Remedy: "import it again"},
		{Name: "new", State: templateIncomplete, CapacityBytes: 3 << 29},
	}
	var out strings.Builder
	if err := (&templateListCmd{}).print(&out, &out, views, viewTime.Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"NAME  SIZE     USED    FORMAT      CLONES  AGE\n",
		"demo  256 MiB  26 MiB  qcow2       2       3 h\n",
		"lost  -        -       broken      0       unknown\n",
		"new   1.5 GiB  0 MiB   incomplete  0       unknown\n",
		"lost: its file␛ is gone; import it again\n",
		"template rm new`\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	out.Reset()
	none := &templateListCmd{output: printer.As(printer.JSON)}
	if err := none.print(&out, &out, []templateView{}, viewTime); err != nil || out.String() != "[]\n" {
		t.Errorf("no templates as JSON: %q, %v", &out, err)
	}
	out.Reset()
	ms := int64(5250)
	printTemplate(&out, templateView{Name: "demo", State: templateReady, BootMS: &ms, BootVMs: 3, Clones: []cloneView{
		{Group: "web", VM: "web-1", Path: "/d/1"},
	}}, []string{"usb"}, viewTime)
	for _, want := range []string{
		"firmware   unknown\n", "5.2 s, the median of 3\n", "clones     1\n", "VM web-1 of group web: /d/1\n", "storage pools usb\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

func TestDiffTraits(t *testing.T) {
	a := []trait{{"disk", "1"}, {"sha256", ""}, {"partition 1", "x"}, {"same", "s"}}
	b := []trait{{"disk", "2"}, {"sha256", "abc"}, {"same", "s"}, {"partition 2", "y"}}
	var out strings.Builder
	printDiff(&out, "one", "three", diffTraits(a, b))
	const want = `disk
  one    1
  three  2
sha256
  one    unknown
  three  abc
partition 1
  one    x
  three  none
partition 2
  one    none
  three  y
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
	out.Reset()
	if printDiff(&out, "one", "two", diffTraits(a, a)); !strings.Contains(out.String(), "no difference") {
		t.Errorf("got %q", &out)
	}
}

// What was made of no file has no digest of one, which is no gap in what is known.
func TestShownSource(t *testing.T) {
	for digest, want := range map[string]bool{"": false, "abc": true} {
		var out strings.Builder
		v := templateView{Name: "web", Source: "installation medium a.iso", SourceFormat: "qcow2", SourceSHA256: digest}
		printTemplate(&out, v, nil, time.Now())
		if strings.Contains(out.String(), "as qcow2, sha256 abc") != want || strings.Contains(out.String(), "as qcow2") != want {
			t.Errorf("with digest %q:\n%s", digest, out.String())
		}
	}
}
