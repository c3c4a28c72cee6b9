package check

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

func (f Facts) config() []Finding {
	const area = "config"
	var found []Finding
	var problems config.Problems
	switch {
	case errors.As(f.ConfigErr, &problems):
		for _, p := range problems {
			found = append(found, problem(area, "want "+p.Allowed, "%s", p.Finding()))
		}
		return found
	case f.ConfigErr != nil:
		return []Finding{problem(area, "name a file that can be read with --config, or leave it out", "%s", f.ConfigErr)}
	}
	for _, w := range f.ConfigWarnings {
		found = append(found, warning(area, w.Remedy, "%s", w.Finding()))
	}
	name := f.ConfigPath
	if name == "" {
		name = "built-in defaults"
	}
	var groups []string
	for _, g := range f.Groups {
		groups = append(groups, fmt.Sprintf("%s (%d to %d VMs)", g.Name, g.Min, g.Max))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Strangers)) {
		found = append(found, warning(area, f.vmscaler("down "+name), "group %s owns %s here but is not configured", name,
			bus.Count(f.Strangers[name], "VM")))
	}
	return append([]Finding{good(area, "%s: %s", name, bus.List(groups))}, found...)
}
