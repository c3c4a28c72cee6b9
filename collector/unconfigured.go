package collector

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Unconfigured is what is said of n VMs, 0 for some, here of a group that is not in the config, and what can be done. They may
// be of an earlier config, of another vmscaler on this libvirt, or of a command that runs now. Which it is cannot be seen from
// here; so nothing that removes them is advised but where whoever reads it knows better.
func Unconfigured(group string, n int) (what, remedy string) {
	vms := "VMs"
	if n > 0 {
		vms = bus.Count(n, "VM")
	}
	if bus.IsThrowAway(group) {
		return fmt.Sprintf("%s here of group %s: of a template command that runs, or was killed", vms, group),
			"the command removes its VMs when it ends, and `vmscaler sweep --dry-run` shows whether one runs"
	}
	return fmt.Sprintf(
			"group %s owns %s here but is not configured: left alone, as another config or vmscaler may have it",
			group,
			vms,
		),
		fmt.Sprintf(
			"look at who made them with `virsh dumpxml`, and only if they are yours and not needed, `vmscaler down %s` lists "+
				"them, asks, and removes them",
			group,
		)
}

// unconfiguredNote names groups that have VMs here and are not configured, which nothing else reports; nil where there are
// none. It does not say how many: their own vmscaler may scale them, and a note that changes is logged again.
func unconfiguredNote(vms map[string]int) error {
	var texts []string
	for _, group := range slices.Sorted(maps.Keys(vms)) {
		what, remedy := Unconfigured(group, 0)
		texts = append(texts, what+" ("+remedy+")")
	}
	if len(texts) == 0 {
		return nil
	}
	return client.Note(strings.Join(texts, "; "))
}
