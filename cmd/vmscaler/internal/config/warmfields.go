package config

import (
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
)

func warmFields(p *bus.WarmPool) section {
	return section{
		{"size", warmSize(&p.Size)},
		{"state", choiceOr(&p.State, "paused", bus.WarmStopped)},
		{"stopped", warmSize(&p.Stopped)},
		{"max_age", orWord(duration(&p.MaxAge, 10*time.Minute, 366*24*time.Hour), "none", &p.MaxAge, 0)},
		{"reuse", yesNo(&p.Reuse)},
	}
}

// warmSize is a number of VMs, a percentage of desired, or all that max leaves.
func warmSize(p *bus.WarmSize) scalar {
	return scalar{
		want: bus.WantWarmSize,
		form: numberOrText("integer", 0, 1000, `^[0-9]+%?$|^`+bus.WarmRest+`$`),
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
