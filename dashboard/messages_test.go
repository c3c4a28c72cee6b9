package dashboard

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

var start = modeltest.At(0)

func ptr[T any](v T) *T { return &v }

func at(seconds float64) time.Time { return modeltest.At(seconds) }

func vm(name string, cpu *float64) bus.VM { return modeltest.VM(name, cpu) }

func sample(group, host string, seconds float64, vms ...bus.VM) bus.Sample {
	return modeltest.Sample(group, host, seconds, vms...)
}

func decision(group string, seconds float64) bus.Decision { return modeltest.Decision(group, seconds) }

func health(stage string, seconds float64) bus.Health { return modeltest.Health(stage, seconds) }

func show(v *float64) string {
	if v == nil {
		return "gap"
	}
	return fmt.Sprint(*v)
}
