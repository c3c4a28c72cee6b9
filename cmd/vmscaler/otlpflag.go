package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/otlp"
)

// otlpFlag is the flag of stages whose work is traced.
type otlpFlag struct{ url string }

func (o *otlpFlag) add(cmd *cobra.Command) {
	cmd.Flags().Var(&once{to: &o.url}, "otlp", "send a trace of each decision to this OpenTelemetry collector, such as "+
		"http://127.0.0.1:4318 ["+otlp.Endpoint+"]")
}

// target is where traces go; "" is nowhere.
func (o *otlpFlag) target() (string, error) {
	target, err := otlp.Target(o.url, os.Getenv)
	if err != nil {
		return "", usageError{err}
	}
	return target, nil
}
