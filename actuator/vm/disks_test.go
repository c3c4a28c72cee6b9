package vm

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

func TestDiskBytes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		diskMiB  int
		template uint64
		want     uint64
		err      string
	}{
		{"as the template", 0, 3 << 30, 3 << 30, ""},
		{"larger", 10 << 10, 3 << 30, 10 << 30, ""},
		{"the same", 3 << 10, 3 << 30, 3 << 30, ""},
		{"smaller", 2 << 10, 3 << 30, 0, `disk: found 2GiB, want at least 3GiB, the size of template "demo"`},
		{"smaller by a byte", 3 << 10, 3<<30 + 1, 0, "want at least 3073MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DiskBytes(webSpec(func(g *bus.Group) { g.DiskMiB = tt.diskMiB }), template.Info{Capacity: tt.template})
			if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}
