package check

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/collector"
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
		found = append(found, f.stranger(name))
	}
	return append([]Finding{good(area, "%s: %s", name, bus.List(groups))}, found...)
}

// stranger judges the VMs of a group that the config does not have. Those of a group that whoever acts on this libvirt has are
// that one's.
func (f Facts) stranger(group string) Finding {
	what, remedy := collector.Unconfigured(group, f.Strangers[group])
	switch h := f.Libvirt.Holder; {
	case h == nil:
	case slices.Contains(h.Groups, group):
		remedy = fmt.Sprintf("leave them alone: %s", h.Who())
	case !bus.IsThrowAway(group):
		what += "; " + h.Who()
	}
	return warning("config", remedy, "%s", what)
}
