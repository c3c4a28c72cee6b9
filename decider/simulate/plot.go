package simulate

import (
	"fmt"
	"time"

	"github.com/guptarohit/asciigraph"
)

const (
	plotWidth  = 72
	plotHeight = 12
)

// Plot draws the VMs that a demand needs and those that a policy had ready, in the colours of a terminal; "" without points.
func Plot(r Result) string {
	if len(r.Points) < 2 {
		return ""
	}
	var needed, ready []float64
	for _, p := range r.Points {
		needed, ready = append(needed, p.Demand/full), append(ready, float64(p.Ready))
	}
	length := time.Duration(r.Points[len(r.Points)-1].Second) * time.Second
	graph := asciigraph.PlotMany([][]float64{needed, ready}, asciigraph.Width(plotWidth), asciigraph.Height(plotHeight),
		asciigraph.LowerBound(0), asciigraph.Precision(0), asciigraph.SeriesColors(asciigraph.Gray, asciigraph.Green))
	return fmt.Sprintf("%s, boot %s, %s: VMs that were needed (grey) and ready (green), over %s\n%s\n", r.Trace, r.Boot, r.Policy,
		length.Round(time.Minute), graph)
}
