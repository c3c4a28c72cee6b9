package main

import (
	"bytes"
	"fmt"
	"html"
	"math"

	"github.com/vmscaler/vmscaler/internal/figures"
)

const (
	plotWidth, plotLeft, plotRight = 900., 420., 870.
	line                           = 18.
)

// plot draws what each way takes in times of vmscaler's, on a logarithmic axis: a line for each, vmscaler's own at 1.
func plot(rows []Row) []byte {
	least, most := 0.5, 2.
	times := func(r Row) float64 {
		if r.Kind == figures.Limit {
			return quotient(1, r.Times)
		}
		return r.Times
	}
	var shown []Row
	for _, r := range rows {
		if t := times(r); t > 0 {
			least, most = min(least, t/1.3), max(most, t*1.3)
			shown = append(shown, r)
		}
	}
	x := func(t float64) float64 {
		return plotLeft + (plotRight-plotLeft)*math.Log(t/least)/math.Log(most/least)
	}
	height := 60 + line*float64(len(shown))
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" `+
		`font-family="sans-serif" font-size="11">`+"\n"+
		`<rect width="100%%" height="100%%" fill="#fff"/>`+"\n", plotWidth, height)
	for power := math.Floor(math.Log10(least)); power <= math.Log10(most); power++ {
		if t := math.Pow(10, power); t >= least {
			fmt.Fprintf(&b, `<path d="M%.1f 20V%.0f" stroke="#ddd"/>`+
				`<text x="%.1f" y="%.0f" text-anchor="middle" fill="#444">%g</text>`+"\n",
				x(t), height-30, x(t), height-16, t)
		}
	}
	fmt.Fprintf(&b, `<path d="M%.1f 12V%.0f" stroke="#0a6"/>`+
		`<text x="%.1f" y="10" text-anchor="middle" fill="#0a6">vmscaler</text>`+"\n",
		x(1), height-30, x(1))
	for i, r := range shown {
		y := 30 + line*float64(i)
		color := map[figures.Kind]string{figures.Rival: "#c40", figures.Limit: "#06c"}[r.Kind]
		fmt.Fprintf(&b, `<text x="%.0f" y="%.1f" text-anchor="end" fill="#222">%s</text>`+
			`<path d="M%.1f %.1fH%.1f" stroke="%s"/><circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n",
			plotLeft-12, y+4, html.EscapeString(r.Figure+": "+r.Way), x(1), y, x(times(r)), color, x(times(r)), y, color)
	}
	fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle">`+
		`what it takes, in times of vmscaler's (rivals red, limits blue)</text>`+
		"\n</svg>\n", (plotLeft+plotRight)/2, height-3)
	return b.Bytes()
}
