// Command plots draws what `vmscaler simulate -o json` prints, as an SVG for docs/policies.md: what each policy loses beside
// what it pays for, or, with -trace, demand and ready VMs over time.
//
//	vmscaler simulate --trace DIR --compare all --boot 2s,30s,90s -o json | go run ./docs/plots > docs/policies.svg
//	vmscaler simulate --compare threshold,hpa -o json --points 60s | go run ./docs/plots -trace flash-crowd > docs/policies-day.svg
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"strings"
)

type point struct {
	Second int     `json:"t"`
	Demand float64 `json:"demand"`
	Ready  float64 `json:"ready"`
}

type result struct {
	Trace   string `json:"trace"`
	Policy  string `json:"policy"`
	Metrics struct {
		Lost    float64 `json:"lost_percent"`
		PerNeed float64 `json:"per_need"`
	} `json:"metrics"`
	Points []point `json:"points"`
}

func main() {
	trace := flag.String("trace", "", "draw this trace over time")
	flag.Parse()
	if err := draw(os.Stdin, os.Stdout, *trace); err != nil {
		fmt.Fprintln(os.Stderr, "plots:", err)
		os.Exit(1)
	}
}

func draw(in io.Reader, out io.Writer, trace string) error {
	var all struct{ Results, Mean []result }
	if err := json.NewDecoder(in).Decode(&all); err != nil {
		return fmt.Errorf("read what simulate printed: %w", err)
	}
	var body string
	var err error
	if trace == "" {
		body, err = scatter(all.Mean)
	} else {
		body, err = overTime(all.Results, trace)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(
		out,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n"+
			`<rect width="100%%" height="100%%" fill="#fff"/>`+"\n%s</svg>\n",
		width,
		height,
		body,
	)
	return err
}

const (
	width, height            = 760, 380
	left, right, top, bottom = 60., 740., 20., 330.
)

// axes maps values to the picture and draws its frame.
func axes(xMax, yMax float64, xName, yName string) (x, y func(float64) float64, body string) {
	x = func(v float64) float64 { return left + (right-left)*v/xMax }
	y = func(v float64) float64 { return bottom - (bottom-top)*v/yMax }
	var b strings.Builder
	for i := range 6 {
		share := float64(i) / 5
		fmt.Fprintf(
			&b,
			`<path d="M%.0f %.1fH%.0f" stroke="#ddd"/><text x="%.0f" y="%.1f" text-anchor="end" fill="#444">%.3g</text>`+"\n",
			left,
			y(yMax*share),
			right,
			left-6,
			y(yMax*share)+4,
			yMax*share,
		)
		fmt.Fprintf(
			&b,
			`<text x="%.1f" y="%.0f" text-anchor="middle" fill="#444">%.3g</text>`+"\n",
			x(xMax*share),
			bottom+16,
			xMax*share,
		)
	}
	fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`+"\n", (left+right)/2, bottom+36, xName)
	fmt.Fprintf(
		&b,
		`<text x="14" y="%.0f" text-anchor="middle" transform="rotate(-90 14 %.0f)">%s</text>`+"\n",
		(top+bottom)/2,
		(top+bottom)/2,
		yName,
	)
	return x, y, b.String()
}

func scatter(mean []result) (string, error) {
	if len(mean) == 0 {
		return "", errors.New("no policies")
	}
	most := 0.
	for _, r := range mean {
		most = math.Max(most, r.Metrics.PerNeed)
	}
	const floor = 0.03 // of the logarithmic axis of what is lost
	lost := func(v float64) float64 { return math.Log10(math.Max(v, floor)/floor) / math.Log10(30/floor) }
	x, y, _ := axes(1, 1, "", "")
	var b strings.Builder
	for _, v := range []float64{0.03, 0.1, 0.3, 1, 3, 10, 30} {
		fmt.Fprintf(
			&b,
			`<path d="M%.0f %.1fH%.0f" stroke="#ddd"/><text x="%.0f" y="%.1f" text-anchor="end" fill="#444">%g</text>`+"\n",
			left,
			y(lost(v)),
			right,
			left-6,
			y(lost(v))+4,
			v,
		)
	}
	at := func(v float64) float64 { return x((v - 1) / (math.Ceil(most*10)/10 - 1 + 0.1)) }
	for v := 1.; v <= most+0.1; v += 0.1 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.0f" text-anchor="middle" fill="#444">%.1f</text>`+"\n", at(v), bottom+16, v)
	}
	fmt.Fprintf(
		&b,
		`<text x="%.0f" y="%.0f" text-anchor="middle">VM-hours for each that was needed</text>`+"\n",
		(left+right)/2,
		bottom+36,
	)
	fmt.Fprintf(
		&b,
		`<text x="14" y="%.0f" text-anchor="middle" transform="rotate(-90 14 %.0f)">lost demand, percent (logarithmic)</text>`+"\n",
		(top+bottom)/2,
		(top+bottom)/2,
	)
	for _, r := range mean {
		colour := "#666"
		if strings.HasPrefix(r.Policy, "predictive") {
			colour = "#06c"
		} else if strings.HasPrefix(r.Policy, "oracle") {
			colour = "#090"
		}
		px, py := at(r.Metrics.PerNeed), y(lost(r.Metrics.Lost))
		fmt.Fprintf(
			&b,
			`<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/><text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n",
			px,
			py,
			colour,
			px+7,
			py+labelBelow(r.Policy),
			colour,
			html.EscapeString(r.Policy),
		)
	}
	return b.String(), nil
}

// labelBelow keeps the names of two policies that lie close together apart.
func labelBelow(policy string) float64 {
	if policy == "aws-target:10s" {
		return 15
	}
	return -5
}

func overTime(results []result, trace string) (string, error) {
	var b strings.Builder
	colours := []string{"#06c", "#e70", "#999", "#909", "#090"}
	var runs []result
	hours, most := 0., 1.
	for _, r := range results {
		if r.Trace != trace || len(r.Points) == 0 {
			continue
		}
		runs = append(runs, r)
		for _, p := range r.Points {
			hours, most = math.Max(hours, float64(p.Second)/3600), math.Max(most, math.Max(p.Ready, p.Demand))
		}
	}
	if len(runs) == 0 {
		return "", fmt.Errorf("no points of a trace %q: use --points", trace)
	}
	x, y, frame := axes(math.Ceil(hours), math.Ceil(most*1.1/5)*5, "hours", "VMs")
	b.WriteString(frame)
	fmt.Fprintf(&b, `<path d="M%.1f %.1f`, x(0), y(0))
	for _, p := range runs[0].Points {
		fmt.Fprintf(&b, "L%.1f %.1f", x(float64(p.Second)/3600), y(p.Demand))
	}
	fmt.Fprintf(
		&b,
		`L%.1f %.1fZ" fill="#cde"/><text x="%.0f" y="%.0f" fill="#579">demand</text>`+"\n",
		x(hours),
		y(0),
		left+10,
		top+10,
	)
	for i, r := range runs {
		colour := colours[i%len(colours)]
		b.WriteString(`<path fill="none" stroke-width="1.3" stroke="` + colour + `" d="`)
		was := math.NaN()
		for _, p := range r.Points {
			switch {
			case math.IsNaN(was):
				fmt.Fprintf(&b, "M%.1f %.1f", x(float64(p.Second)/3600), y(p.Ready))
			case p.Ready != was:
				fmt.Fprintf(&b, "H%.1fV%.1f", x(float64(p.Second)/3600), y(p.Ready))
			}
			was = p.Ready
		}
		fmt.Fprintf(
			&b,
			`H%.1f"/><text x="%.0f" y="%.0f" fill="%s">%s</text>`+"\n",
			x(hours),
			left+80+float64(110*i),
			top+10,
			colour,
			html.EscapeString(r.Policy),
		)
	}
	return b.String(), nil
}
