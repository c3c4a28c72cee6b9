package web

import (
	"context"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
	"github.com/vmscaler/vmscaler/dashboard/web/webtest"
	"github.com/vmscaler/vmscaler/decider/explain"
)

// hostile is a text as a guest, or somebody on the bus, may choose it.
const hostile = `<img src=x onerror="document.title='pwned'"><script>document.title='pwned'</script>`

// TestPage: a real browser shows what is known, at all sizes and in both themes, in words as well, and runs nothing of it.
func TestPage(t *testing.T) {
	t.Parallel()
	s := newAPISite(t, scaled, func(c *Config) {
		c.Explain = func(d *bus.Decision, _ []bus.Event) any { return explain.New(d, nil, time.UTC) }
		c.Replay = func(context.Context, string, []bus.Demand, time.Duration) (Replay, error) { return Replay{}, nil }
		c.Templates = func(context.Context) ([]TemplateState, error) {
			return []TemplateState{
				{
					Name: "demo", State: "ready", Format: "qcow2", CapacityBytes: 2 << 30, UsedBytes: 27 << 20, Clones: 5,
					Changed: new(time.Now()),
				},
				{Name: "old", State: "broken", Problem: hostile},
			}, nil
		}
	})
	s.follow(s.bus)
	begin := time.Now()
	feed := func(desired int, names ...string) {
		at := time.Since(begin).Seconds()
		sample, d := modeltest.Sample("web", "kvm1", at), modeltest.Decision("web", at)
		sample.Time, d.Time, d.ExpiresAt = time.Now(), time.Now(), time.Now().Add(time.Minute)
		for i, name := range names {
			vm := modeltest.VM(name, new(40.+10*float64(i)))
			vm.Created, vm.Address, vm.Template, vm.Error = begin.Add(-time.Hour), "10.0.0.7", "demo", hostile
			sample.VMs = append(sample.VMs, vm)
		}
		d.Desired, d.Inputs.Ready, d.Inputs.Owned, d.Sentence = desired, len(names), len(names), hostile
		s.server.fold(sample)
		s.server.fold(d)
		s.server.fold(modeltest.Health("decider", at))
	}
	feed(2, "web-1", "web-2")
	b := webtest.Open(t, "http://"+s.address+"/")
	b.Until(`document.querySelector("#vms").children.length === 2`)
	if got := b.Value(`document.querySelector("#sentence").textContent`); got != hostile {
		t.Errorf("the sentence is %q", got)
	}
	got := b.Value(`document.title + document.querySelectorAll("main img, main script").length`)
	if got != "web: 2 of 2 ready – vmscaler0" {
		t.Errorf("the title is %q", got)
	}
	b.Until(`document.querySelector("#templates tr")?.textContent.startsWith("demo2048 MiB27 MiBqcow25")`)
	b.Until(`document.querySelector("#templates tr").lastElementChild.textContent === "web: 2"`)
	if got := b.Value(`document.querySelectorAll("#templates tr")[1].children[3].textContent`); got != "broken: "+hostile {
		t.Errorf("a broken template is %q", got)
	}
	b.Click("#group", "Replay")
	b.Until(`document.querySelector("#replayed").textContent.startsWith("nothing is recorded of group web yet")`)
	feed(3, "web-1", "web-2", "web-3") // it is live
	b.Until(`document.querySelector("#vms").children.length === 3`)
	b.Until(`document.querySelector("#cpu path")?.getAttribute("d").includes("L")`)
	b.Until(`document.querySelector("#events").children.length > 0`)
	b.Until(`document.querySelector("#why-not").children.length > 0 && document.querySelector("#steps").children.length > 0`)
	crowd(t, b, s)
	for _, theme := range []string{"light", "dark"} {
		b.Theme(theme)
		for name, width := range map[string]int64{"desktop": 1280, "phone": 320} {
			b.Resize(width, 900)
			b.Fits()
			b.Until(`document.querySelector("#cpu").viewBox.baseVal.width <= innerWidth`)
			b.Picture("page-" + name + "-" + theme)
		}
		b.Readable(theme)
		b.Axe()
	}
	b.Named("banner", "navigation", "main", "contentinfo", "heading", "table", "rowheader", "columnheader", "status", "image")
	login(t, b, s)
	scale(t, b, s)
}

// crowd looks at a second group, of 300 VMs, and finds one.
func crowd(t *testing.T, b *webtest.Browser, s *apiSite) {
	t.Helper()
	fleet := bustest.Fleet(300, "fleet")
	fleet.Group, fleet.Time = "fleet", time.Now()
	for i := range fleet.VMs {
		fleet.VMs[i].UUID = fleet.VMs[i].Name
	}
	s.server.fold(*fleet)
	b.Until(`document.querySelector("#groups").children.length === 2`)
	b.Press(`#groups a[href="#fleet"]`)
	b.Until(`document.querySelector("#vms").children.length === 300`)
	b.Set("#filter", "fleet-299")
	b.Until(`document.querySelector("#vms-title").textContent === "VMs: 1 of 300"`)
	b.Set("#filter", "")
	b.Press(`#groups a[href="#web"]`)
	b.Until(`document.querySelector("#name").textContent === "web" && document.querySelector("#vms").children.length === 3`)
}

// TestClosedPage: where not everybody may look, the page shows nothing until somebody has logged in.
func TestClosedPage(t *testing.T) {
	t.Parallel()
	s := newAPISite(t, nil, closed)
	s.follow(s.bus)
	s.server.fold(modeltest.Sample("web", "kvm1", 0, modeltest.VM("web-1", nil)))
	b := webtest.Open(t, "http://"+s.address+"/")
	b.Until(`document.querySelector("#link").textContent === "log in to look"`)
	b.Click("header", "Log in")
	b.Type("#field-token", s.watch)
	b.Until(`document.querySelector("#vms").children.length === 1`)
	if got := b.Value(`document.querySelector("#who").textContent + document.querySelector("#actions").hidden`); got !=
		"grafana, watch: read-onlytrue" {
		t.Errorf("who may only watch is %s", got)
	}
}

// login logs in as an operator.
func login(t *testing.T, b *webtest.Browser, s *apiSite) {
	t.Helper()
	got := b.Value(`document.querySelector("#actions").hidden + document.querySelector("#who").textContent`)
	if got != "trueread-only" {
		t.Errorf("before the login: %s", got)
	}
	b.Click("header", "Log in")
	b.Type("#field-token", "wrong")
	b.Until(`document.querySelector("#ask-error").textContent.includes("not valid")`)
	b.Named("dialog", "textbox", "alert")
	b.Axe()
	b.Picture("login")
	b.Type("#field-token", s.operator)
	b.Until(`document.querySelector("#who").textContent === "ops, operator" && !document.querySelector("#ask").open`)
	if got := b.Value("document.cookie + localStorage.length + sessionStorage.length"); got != "00" {
		t.Errorf("the page can read its cookie: %s", got)
	}
}

// scale changes the group, after a question, and by keys alone.
func scale(t *testing.T, b *webtest.Browser, s *apiSite) {
	t.Helper()
	b.Until(`!document.querySelector("#actions").hidden`)
	b.Press("#actions button")
	b.Until(`document.querySelector("#ask").open`)
	if len(s.asked()) > 0 {
		t.Fatal("it changes something before it has asked")
	}
	b.Picture("scale")
	b.Set("#field-desired", "4")
	b.Type("#field-reason", "launch")
	b.Until(`document.querySelector("#said").textContent === "web is to have 4 VMs"`)
	if q := s.asked()[0].Query; s.asked()[0].Verb != bus.VerbScale || q.Group != "web" || *q.Desired != 4 || q.Reason != "launch" {
		t.Errorf("asked for %+v", q)
	}
	b.Click("header", "Log out")
	b.Until(`document.querySelector("#actions").hidden && document.querySelector("#who").textContent === "read-only"`)
}
