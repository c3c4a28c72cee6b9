package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
)

func refreshFields(r *bus.RefreshSpec) section {
	return section{
		{"start", choice(&r.Start, bus.RefreshStarts()...)},
		{"strategy", choice(&r.Strategy, bus.RefreshStrategies()...)},
		{"minimal_action", choiceOr(&r.MinimalAction, string(bus.UpdateReplace), bus.UpdateRestart)},
		{"most_disruptive", choiceOr(&r.MostDisruptive, string(bus.UpdateReplace), bus.UpdateRestart)},
		{"max_surge", orMaintenance(count(&r.MaxSurge, 1000, "a whole number of VMs from 0 to 1000"), &r.MaxSurge)},
		{"min_healthy", orMaintenance(count(&r.MinHealthyPercent, 100, wantMinHealthy), &r.MinHealthyPercent)},
		{"checkpoints", percentages(&r.Checkpoints)},
		{"canary", canary(&r.Canary, &r.CanaryPercent)},
		{"checkpoint_delay", duration(&r.CheckpointDelay, 0, 7*24*time.Hour)},
		{"bake", duration(&r.Bake, 0, 7*24*time.Hour)},
		{"max_failures", count(&r.MaxFailures, 1000, "a whole number of launches from 0 to 1000")},
		{"alarm", count(&r.AlarmPercent, 100, "a whole number of percent from 1 to 100, or 0 for none")},
		{"return", yesNo(&r.Return)},
	}
}

// canary is a number of VMs, or a percentage of desired.
func canary(vms, percent *int) scalar {
	return scalar{
		want: bus.WantCanary,
		form: numberOrText("integer", 0, 1000, `^[0-9]+%?$`),
		set: func(n ast.Node) bool {
			count, share, err := bus.ParseCanary(wordOf(n))
			if err == nil {
				*vms, *percent = count, share
			}
			return err == nil
		},
		get: func() string {
			if *percent > 0 {
				return fmt.Sprintf("%d%%", *percent)
			}
			return strconv.Itoa(*vms)
		},
	}
}

const wantMinHealthy = "a whole number of percent from 0 to 100"

func maintenanceFields(m *bus.Maintenance) section {
	return section{
		{"min_healthy", count(&m.MinHealthyPercent, 100, wantMinHealthy)},
		{"max_healthy", wholeFrom(&m.MaxHealthyPercent, 100, 200, "a whole number of percent from 100 to 200")},
	}
}

// orMaintenance is a bound of a refresh, or the word for the one of the group's maintenance.
func orMaintenance(s scalar, p *int) scalar { return orWord(s, "maintenance", p, bus.FromMaintenance) }

// count is a whole number from 0 to high.
func count(p *int, high int, want string) scalar { return wholeFrom(p, 0, high, want) }

// wholeFrom is a whole number from low to high.
func wholeFrom(p *int, low, high int, want string) scalar {
	form := between(float64(low), float64(high))
	form.Type = "integer"
	return scalar{
		form: form, want: want, bare: true,
		set: func(n ast.Node) bool {
			i, err := strconv.Atoi(n.GetToken().Value)
			if _, whole := n.(*ast.IntegerNode); !whole || err != nil || i < low || i > high {
				return false
			}
			*p = i
			return true
		},
		get: func() string { return strconv.Itoa(*p) },
	}
}

// percentages is a list of whole percentages that ascend.
func percentages(p *[]int) scalar {
	return scalar{
		want: "a list of whole percentages from 1 to 99 that ascend, at most 20, such as [10, 50]",
		set: func(n ast.Node) bool {
			list, ok := n.(*ast.SequenceNode)
			if !ok {
				return false
			}
			found := []int{}
			for _, n := range list.Values {
				i, err := strconv.Atoi(n.GetToken().Value)
				if _, whole := n.(*ast.IntegerNode); !whole || err != nil {
					return false
				}
				found = append(found, i)
			}
			if bus.CheckCheckpoints(found) != nil {
				return false
			}
			*p = found
			return true
		},
		get: func() string {
			words := make([]string, len(*p))
			for i, percent := range *p {
				words[i] = fmt.Sprint(percent)
			}
			return "[" + strings.Join(words, ", ") + "]"
		},
	}
}
