package web

import (
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
	"github.com/vmscaler/vmscaler/dashboard/web/webtest"
	"github.com/vmscaler/vmscaler/decider"
	"github.com/vmscaler/vmscaler/decider/explain"
)

const (
	picturePath   = "../../docs/web.svg"
	pictureWidth  = 1120
	pictureHeight = 1660
	pictureMost   = 60 << 10 // bytes
	pictureBoot   = 25       // seconds that a simulated VM boots
	pictureLasts  = 1200     // seconds
	pictureWait   = 15 * time.Minute
)

var pictureOf = flag.String("picture", "", "with -update: the URL of a page, of which docs/web.svg is made; docs/web.md has more")

// TestPicture: the page of a group of simulated VMs that the decider decides for can be made a picture, and docs/web.svg, which
// is one of a real run, is of the page as it is today. With -update it gets today's style; what it shows comes from a run.
func TestPicture(t *testing.T) {
	t.Parallel()
	var clock atomic.Pointer[time.Time]
	clock.Store(new(modeltest.At(0)))
	s := newAPISite(t, nil, func(c *Config) {
		c.Now = func() time.Time { return *clock.Load() }
		c.Explain = func(d *bus.Decision, _ []bus.Event) any { return explain.New(d, nil, time.UTC) }
	})
	s.follow(s.bus)
	g := newPictured(s.server.fold)
	for second := 0; second <= pictureLasts; second += int(g.spec.Policy.Interval / time.Second) {
		clock.Store(new(modeltest.At(float64(second))))
		g.step(second)
	}
	_, style := s.do(http.MethodGet, "/style.css", "")
	style = strings.ReplaceAll(twoColors.ReplaceAllString(style, "$1"), "color-scheme: light dark", "color-scheme: light")
	b := webtest.Open(t, "about:blank")
	open(b, "http://"+s.address)
	b.Until(fmt.Sprintf(`document.querySelector("#vms").children.length === %d`, len(g.vms)))
	b.Until(`document.querySelector("#cpu path")?.getAttribute("d").split("L").length > 100`)
	b.Picture("picture-page")
	drawn := asSVG(b, style)
	kept := keptPicture(t, b, style, pictureStyle.FindString(drawn))
	if got, want := pictureStyle.FindString(kept), pictureStyle.FindString(drawn); got != want {
		t.Errorf("%s has another style than the page: run this test with -update", picturePath)
	}
	if got, want := headings(kept), headings(drawn); !slices.Equal(got, want) {
		t.Errorf("%s shows %q, and the page %q: docs/web.md says how a new one is made", picturePath, got, want)
	}
	seenAlone(t, b, drawn, "VMs: 3", "web", "web-1", "web-2", "web-3", "ready", "kvm1", "10.0.0.11", "max 5", "1 → 2")
	seenAlone(t, b, kept, "VMs: 3", "vmscaler-demo", "vmscaler-demo-1", "vmscaler-demo-2", "vmscaler-demo-3", "ready", "max 5")
}

// keptPicture is docs/web.svg. With -update it is written before: where a page is named as that shows it once it has three VMs
// that are ready, else with today's style.
func keptPicture(t *testing.T, b *webtest.Browser, style, today string) string {
	t.Helper()
	data, err := os.ReadFile(picturePath)
	if err != nil {
		t.Fatal(err)
	}
	switch kept := string(data); {
	case !*update:
		return kept
	case *pictureOf == "":
		data = []byte(pictureStyle.ReplaceAllLiteralString(kept, today))
	default:
		open(b, strings.TrimSuffix(*pictureOf, "/"))
		b.Within(pictureWait, `document.title.includes(": 3 of 3 ready")`)
		b.Picture("picture-run")
		data = []byte(asSVG(b, style))
	}
	if err := os.WriteFile(picturePath, data, 0o644); err != nil { //nolint:gosec // a page of the docs
		t.Fatal(err)
	}
	return string(data)
}

// open opens a page as it is for a picture, in English, UTC and light.
func open(b *webtest.Browser, site string) {
	b.Place("en-GB", "UTC")
	b.Theme("light")
	b.Resize(pictureWidth, pictureHeight)
	b.Visit(site + "/")
	b.Until(`document.querySelector("#steps").children.length > 0`)
	b.Until(`document.querySelector("#who").textContent === "read-only" && document.querySelector("#link").textContent === "live"`)
}

// asSVG is the page that is open, as a picture.
func asSVG(b *webtest.Browser, style string) string {
	return b.Value(fmt.Sprintf(asPicture, style, pictureWidth, pictureHeight)) + "\n"
}

// pictureStyle is the part of a picture that has its style.
var pictureStyle = regexp.MustCompile(`(?s)<style>.*?</style>`)

// headings are what all pictures of the page have in common: its own words, and those of the tables' columns.
func headings(picture string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`<(h1|h3|h4|thead|figcaption)\b.*?</(h1|h3|h4|thead|figcaption)>`).FindAllString(
		strings.ReplaceAll(picture, "\n", ""), -1) {
		all = append(all, strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(m, " ")), " "))
	}
	return all
}

// seenAlone looks at a picture with nothing around it, where it can load nothing and run nothing, for texts that it shows.
func seenAlone(t *testing.T, b *webtest.Browser, picture string, texts ...string) {
	t.Helper()
	if len(picture) > pictureMost {
		t.Errorf("the picture has %d bytes, want %d at most", len(picture), pictureMost)
	}
	for _, foreign := range []string{"<script", "<link", "<img", " href=", " src=", "url(", "@import", "light-dark("} {
		if strings.Contains(picture, foreign) {
			t.Errorf("the picture has %q", foreign)
		}
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'")
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, `<!doctype html><img src="web.svg" alt="">`)
			return
		}
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = fmt.Fprint(w, picture)
	}))
	t.Cleanup(site.Close)
	b.Visit(site.URL + "/")
	b.Until(`document.images[0].complete`)
	got := b.Value(`document.images[0].naturalWidth + "x" + document.images[0].naturalHeight`)
	if want := fmt.Sprintf("%dx%d", pictureWidth, pictureHeight); got != want {
		t.Errorf("the image is %s, want %s", got, want)
	}
	b.Picture("picture-image")
	b.Visit(site.URL + "/web.svg")
	shown := b.Value(visibleTexts)
	for _, want := range append(texts, "vmscaler", "live", "CPU of the ready VMs, in percent", "Why it has this size",
		"What would change it", "What happened") {
		if !slices.Contains(strings.Split(shown, "\n"), want) {
			t.Errorf("the picture does not show %q", want)
		}
	}
}

// visibleTexts are the texts of a document that are in sight, one a line.
const visibleTexts = `(() => {
	const texts = [], walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const of = walk.currentNode.parentElement, at = document.createRange();
		at.selectNodeContents(walk.currentNode);
		const box = at.getBoundingClientRect(), whole = document.documentElement.getBoundingClientRect();
		if (of.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && box.width > 0 && box.left >= whole.left &&
			box.right <= whole.right && box.bottom <= whole.bottom) texts.push(walk.currentNode.data.trim());
	}
	return texts.join("\n");
})()`

// twoColors are a light and a dark one. The picture has the light one, since not every viewer knows to choose.
var twoColors = regexp.MustCompile(`light-dark\((#[0-9a-f]+), #[0-9a-f]+\)`)

// asPicture is the page as it is, as an SVG with its own style. What cannot be seen is left out, as are links, names for code,
// the replay, and what is far down: it would be a very long picture.
const asPicture = `((css, width, height) => {
	const further = ["replay", "hosts", "templates", "stages"].map((name) => "section[aria-labelledby=" + name + "-title]").join();
	for (const e of document.body.querySelectorAll("*")) {
		if (!e.checkVisibility() || e.matches(".skip, footer, " + further)) e.setAttribute("data-gone", "");
	}
	const body = document.body.cloneNode(true);
	body.querySelectorAll("[data-gone]").forEach((e) => e.remove());
	for (const e of body.querySelectorAll("*")) {
		for (const { name } of [...e.attributes]) {
			if (/^(data-|aria-|href$|role$|tabindex$|scope$|for$)/.test(name) && name !== "aria-current") e.removeAttribute(name);
		}
	}
	const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
	style.textContent = css + "thead th { position: static; }\n.scroll { overflow: hidden; }\n";
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	const box = document.createElementNS("http://www.w3.org/2000/svg", "foreignObject");
	for (const e of [svg, box]) {
		e.setAttribute("width", width);
		e.setAttribute("height", height);
	}
	svg.setAttribute("viewBox", "0 0 " + width + " " + height);
	svg.setAttribute("style", "width: " + width + "px; height: " + height + "px; background: #ffffff");
	box.append(body);
	svg.append(style, box);
	return new XMLSerializer().serializeToString(svg).replaceAll("<tr", "\n<tr").replaceAll("<section", "\n<section");
})(%q, %d, %d)`

// pictured is a group whose VMs are simulated, and whose size the decider decides.
type pictured struct {
	fold  func(any)
	spec  bus.Group
	state decider.State
	vms   []bus.VM
}

func newPictured(fold func(any)) *pictured {
	spec := bus.DefaultGroup()
	spec.Name, spec.Policy.Warmup = "web", 5*time.Second // simulated VMs have none to learn from
	g := &pictured{fold: fold, spec: spec}
	g.launch(-7200)
	g.boot(-7200 + pictureBoot)
	return g
}

// demand is what is asked of the group, in vCPUs: it grows to a peak, and sways.
func demand(second int) float64 {
	at := float64(second)
	return 0.45 + 1.4/(1+math.Exp((500-at)/50)) + 0.06*math.Sin(at/23) + 0.04*math.Sin(at/7)
}

// step is one evaluation: what VMs do, what is decided by that, and what is done.
func (g *pictured) step(second int) {
	ready := g.boot(second)
	for i := range g.vms {
		if g.vms[i].Phase == bus.PhaseReady {
			sway := 4 * math.Sin(float64(second)/11+2*float64(i))
			g.vms[i].CPUPercent = new(min(100, 100*demand(second)/float64(ready)+sway))
		}
	}
	sample := modeltest.Sample("web", "kvm1", float64(second), slices.Clone(g.vms)...)
	g.fold(sample)
	host := decider.HostObservation{
		ID: sample.HostID, Name: "kvm1", Time: sample.Time, VMs: slices.Clone(g.vms), Load: sample.HostLoad,
	}
	var d bus.Decision
	seen := decider.Observation{Hosts: []decider.HostObservation{host}, Fresh: 1}
	d, g.state = decider.Decide(g.spec, g.state, seen, sample.Time)
	d.V, d.ID, d.Term, d.Seq = bus.Version, fmt.Sprint(second), 1, uint64(second)+1
	d.Time, d.ExpiresAt = sample.Time, sample.Time.Add(10*time.Second)
	g.fold(d)
	for _, stage := range []string{"bus", "collector", "decider", "actuator"} {
		g.fold(modeltest.Health(stage, float64(second)))
	}
	for len(g.vms) < d.Desired {
		g.launch(second)
	}
}

// boot has the VMs ready that have had the time for it, and returns how many are.
func (g *pictured) boot(second int) (ready int) {
	now := modeltest.At(float64(second))
	for i := range g.vms {
		vm := &g.vms[i]
		if vm.Phase == bus.PhaseLaunching && now.Sub(vm.Created) >= pictureBoot*time.Second {
			vm.Phase, vm.PhaseSince, vm.BootedAt = bus.PhaseReady, now, new(now)
			vm.Address = fmt.Sprintf("10.0.0.%d", 11+i)
			g.event(second, vm.Name, bus.EventReady, "its guest agent answers")
		}
		if vm.Phase == bus.PhaseReady {
			ready++
		}
	}
	return ready
}

func (g *pictured) launch(second int) {
	vm := modeltest.VM(fmt.Sprintf("web-%d", len(g.vms)+1), nil)
	now := modeltest.At(float64(second))
	vm.Phase, vm.Created, vm.PhaseSince, vm.Template = bus.PhaseLaunching, now, now, "demo"
	g.vms = append(g.vms, vm)
	g.event(second, vm.Name, bus.EventStarted, "cloned and started")
}

func (g *pictured) event(second int, vm string, what bus.EventType, sentence string) {
	g.fold(bus.Event{
		V: bus.Version, Group: "web", VM: vm, Event: what, Sentence: sentence, Host: "kvm1", HostID: bus.HostID("kvm1"),
		Time: modeltest.At(float64(second)),
	})
}
