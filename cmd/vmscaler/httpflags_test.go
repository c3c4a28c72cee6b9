package main

import (
	"testing"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// HTTP is served where somebody said so, and beside a dashboard.
func TestHTTPWanted(t *testing.T) {
	for _, tt := range []struct {
		name           string
		flag, env      string
		file           string
		dashboard      bool
		listen         string
		want, mistaken bool
	}{
		{name: "run", dashboard: true, listen: config.DefaultHTTP, want: true},
		{name: "a stage", listen: config.DefaultHTTP},
		{name: "a stage with a flag", flag: ":9465", listen: ":9465", want: true},
		{name: "a stage with the default as flag", flag: config.DefaultHTTP, listen: config.DefaultHTTP, want: true},
		{name: "a stage with a file", file: "127.0.0.1:9465", listen: "127.0.0.1:9465", want: true},
		{name: "run without", flag: "off", dashboard: true, listen: "off"},
		{name: "a flag over a variable over the file", flag: "off", env: ":1", file: ":2", dashboard: true, listen: "off"},
		{name: "no address", flag: "9464", mistaken: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("VMSCALER_HTTP", tt.env)
			cfg := config.Default()
			if tt.file != "" {
				cfg.HTTPListen = tt.file
			}
			var h httpFlags
			cmd := &cobra.Command{}
			h.add(cmd)
			if tt.flag != "" {
				if err := cmd.Flags().Set("http", tt.flag); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := h.apply(&cfg); (err != nil) != tt.mistaken {
				t.Fatal(err)
			}
			if tt.mistaken {
				return
			}
			if got := h.wanted(cfg, tt.dashboard); got != tt.want || cfg.HTTPListen != tt.listen {
				t.Errorf("got %v at %s, want %v at %s", got, cfg.HTTPListen, tt.want, tt.listen)
			}
		})
	}
}
