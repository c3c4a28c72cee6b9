package config

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
)

func warmFields(p *bus.WarmPool) section {
	return section{
		{"size", warmSize(&p.Size)},
		{"state", choiceOr(&p.State, "paused", bus.WarmSaved, bus.WarmStopped)},
		{"stopped", warmSize(&p.Stopped)},
		{"min", count(&p.Min, 1000, "a whole number of VMs from 0 to 1000")},
		{"max", count(&p.Max, 1000, "a whole number of VMs from 0 to 1000; 0 is as many as the group's max leaves")},
		{"max_age", orWord(duration(&p.MaxAge, 10*time.Minute, 366*24*time.Hour), "none", &p.MaxAge, 0)},
		{"reuse", yesNo(&p.Reuse)},
	}
}

// warmSize is a number of VMs, a percentage of desired, all that max leaves, or what is forecast.
func warmSize(p *bus.WarmSize) scalar {
	return scalar{
		want: bus.WantWarmSize,
		form: numberOrText("integer", 0, 1000, `^[0-9]+%?$|^`+bus.WarmRest+`$|^`+bus.WarmForecast+`$`),
		set: func(n ast.Node) bool {
			size, err := bus.ParseWarmSize(wordOf(n))
			if err == nil {
				*p = size
			}
			return err == nil
		},
		get: func() string { return p.String() },
	}
}

// warmPool checks what of a warm pool goes together.
func (d *decoder) warmPool(path string, g bus.Group) {
	p, forecast := g.WarmPool, g.WarmPool.Size.Forecast
	switch {
	case d.bad(path + ".stopped"):
	case p.Stopped.Forecast:
		d.problem(path+".stopped", bus.WarmForecast, "another size: only warm_pool.size is forecast")
	case p.State == bus.WarmStopped && p.TwoKinds():
		d.problem(path+".stopped", p.Stopped.String(), "none with state: stopped, where all of them are")
	}
	if forecast && !g.Policy.Has(bus.PolicyPredictive) && !slices.Contains(g.Policy.Shadow, bus.PolicyPredictive) &&
		!d.bad(path+".size") {
		d.problem(path+".size", bus.WarmForecast, "it together with predictive in policy.type or policy.shadow, which forecasts")
	}
	const bounds = "0 without warm_pool.size: forecast, which it bounds"
	switch {
	case d.bad(path + ".min"), d.bad(path + ".max"):
	case forecast && p.Max > 0 && p.Min > p.Max:
		d.problem(path+".min", strconv.Itoa(p.Min), fmt.Sprintf("at most warm_pool.max, which is %d", p.Max))
	case !forecast && p.Min > 0:
		d.problem(path+".min", strconv.Itoa(p.Min), bounds)
	case !forecast && p.Max > 0:
		d.problem(path+".max", strconv.Itoa(p.Max), bounds)
	}
}
