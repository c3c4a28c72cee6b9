// Package webtest has what tests of the page share: a real Chromium.
package webtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// patience is how long a step in a browser may take on a slow machine.
const patience = 2 * time.Minute

// Browser is a real Chromium with a page open.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Open opens the page of a site. What its console says is an error, as the page says nothing there.
func Open(t testing.TB, url string) *Browser {
	t.Helper()
	// Without its sandbox, which root has none of; what it loads is our own.
	folder, err := os.MkdirTemp("", "vmscaler-page-") // it is killed, and leaves a socket behind
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) }) // what still ends may write into it
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Env("TMPDIR="+folder))
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // it lives as long as this context
		t.Fatalf("there is no Chromium: %v", err)
	}
	b := &Browser{t, ctx}
	b.Do("open", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	return b
}

// Do does steps in the page.
func (b *Browser) Do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func run[T any](b *Browser, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return value
}

// Value is what an expression is in the page, as a text.
func (b *Browser) Value(expression string) string {
	b.t.Helper()
	return run(b, expression, chromedp.Evaluate[string]("String("+expression+")"))
}

// Until waits until an expression is true in the page.
func (b *Browser) Until(expression string) {
	b.t.Helper()
	b.Within(patience, expression)
}

// Within is Until for what may take longer, or less.
func (b *Browser) Within(limit time.Duration, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	poll := chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(limit))
	if _, err := chromedp.Run(ctx, poll); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// Resize gives the window another size.
func (b *Browser) Resize(width, height int64) {
	b.Do("resize", chromedp.EmulateViewport(width, height))
}

// Press focuses what a selector chooses, and presses Enter there.
func (b *Browser) Press(selector string) {
	b.t.Helper()
	b.Do("press", chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent("\r"))
}

// Set sets the field that a selector chooses to a text.
func (b *Browser) Set(field, text string) {
	b.t.Helper()
	b.Until(fmt.Sprintf(`((e) => e && (e.value = %q, e.dispatchEvent(new Event("input", { bubbles: true })), true))`+
		`(document.querySelector(%q))`, text, field))
}

// Type sets the field that a selector chooses to a text, and then presses Enter in it.
func (b *Browser) Type(field, text string) {
	b.t.Helper()
	b.Set(field, text)
	b.Do("type", chromedp.SendKeys(chromedp.CSS(field), "\r"))
}

// Click clicks on the button with a text, in what a selector chooses.
func (b *Browser) Click(within, text string) {
	b.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%q)].find((e) => e.textContent === %q)`, within+" button", text)
	b.Until(find)
	run(b, "click on "+text, chromedp.Evaluate[chromedp.Void](find+".click()"))
}

// Picture keeps a picture, in the folder that VMSCALER_TEST_PICTURES names, for people to look at.
func (b *Browser) Picture(name string) {
	b.t.Helper()
	if dir := os.Getenv("VMSCALER_TEST_PICTURES"); dir != "" {
		png := run(b, "picture", chromedp.FullScreenshot(100))
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil { //nolint:gosec // of made-up groups
			b.t.Error(err)
		}
	}
}

// Theme has the page light or dark.
func (b *Browser) Theme(name string) {
	b.t.Helper()
	b.Do(name, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	}))
}

// Place has the page in a language and a time zone, whatever the machine's are.
func (b *Browser) Place(language, zone string) {
	b.t.Helper()
	b.Do("place", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: language})
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, t, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
		return err
	}))
}

// Visit opens another page.
func (b *Browser) Visit(url string) {
	b.t.Helper()
	b.Do("visit", chromedp.Navigate(url))
}

// Fits checks that the page is not wider than the window.
func (b *Browser) Fits() {
	b.t.Helper()
	if got := b.Value("document.documentElement.scrollWidth - innerWidth"); !strings.HasPrefix(got, "-") && got != "0" {
		b.t.Errorf("the page is %s pixels wider than the window", got)
	}
}

// Named checks that all a person can use has a name for who cannot see it, and that there is something of each of the roles.
func (b *Browser) Named(roles ...string) {
	b.t.Helper()
	tree := run(b, "accessibility tree", func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	text := func(v *accessibility.Value) string {
		var s string
		if v != nil {
			_ = json.Unmarshal(v.Value, &s)
		}
		return s
	}
	seen := map[string]int{}
	for _, n := range tree.Nodes {
		role := text(n.Role)
		seen[role]++
		switch role {
		case "button", "link", "textbox", "combobox", "spinbutton", "image", "dialog", "region", "navigation":
			if !n.Ignored && text(n.Name) == "" {
				b.t.Errorf("a %s has no name", role)
			}
		}
	}
	for _, role := range roles {
		if seen[role] == 0 {
			b.t.Errorf("there is no %s: %v", role, seen)
		}
	}
}

// contrast is the lowest of a text on what is behind it, as of WCAG.
const contrast = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const rgb = (color) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = color;
		canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const light = ([r, g, b]) => {
		const f = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
	};
	let worst = 21;
	for (const e of document.querySelectorAll("body *")) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
		let behind = e, back = [0, 0, 0, 0];
		for (; behind && back[3] === 0; behind = behind.parentElement) back = rgb(getComputedStyle(behind).backgroundColor);
		const style = getComputedStyle(e), a = light(rgb(e instanceof SVGElement ? style.fill : style.color)), b = light(back);
		worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
	}
	return worst.toFixed(2);
})()`

// Readable checks that all texts stand out enough from what is behind them.
func (b *Browser) Readable(theme string) {
	b.t.Helper()
	var worst float64
	if _, err := fmt.Sscan(b.Value(contrast), &worst); err != nil || worst < 4.5 || worst == 21 {
		b.t.Errorf("%s: the worst contrast is %.2f (%v)", theme, worst, err)
	}
}

// Axe checks the page by the rules of axe-core, where VMSCALER_TEST_AXE names its axe.min.js: npm has it, and no distribution.
func (b *Browser) Axe() {
	b.t.Helper()
	path := os.Getenv("VMSCALER_TEST_AXE")
	if path == "" {
		return
	}
	code, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	run(b, "axe", chromedp.Evaluate[chromedp.Void](string(code)))
	found := run(b, "axe", chromedp.Evaluate[string](`axe.run().then((r) => r.violations.map((v) =>
		v.id + ": " + v.help + ": " + v.nodes.map((n) => n.target + " " + n.failureSummary).join("; ")).join("\n"))`,
		chromedp.EvalAwaitPromise))
	if found != "" {
		b.t.Errorf("axe: %s", found)
	}
}
