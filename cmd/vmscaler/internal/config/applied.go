package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vmscaler/vmscaler/bus"
)

// own are the fields of a group that a host takes from its own file alone: by them a program runs, on the host or in a guest,
// a file is opened, or something is reached. Who may have groups hold over the bus need not be root on each host. Whoever adds a
// field decides whether it is one of them: a test has the list of the others.
var own = append([]string{
	"cloud_init.ssh_keys", "cloud_init.user_data", "cloud_init.vendor_data", "cloud_init.network_config",
	"network", "nics", "domain_xml", "hooks.launch", "hooks.remove", "checks", "fence.command",
}, fixed...)

// CheckApplied reports what is wrong with groups that somebody wants to hold over the bus, as [Problems]: each must be what a
// file could say, and what a host takes from its own file alone must be as by default, or as one of known has it, which are the
// groups that hold and those of the file as it is now.
func CheckApplied(groups []bus.Group, known ...[]bus.Group) error {
	if len(groups) == 0 {
		return errors.New("groups: found none, want one or more")
	}
	var problems Problems
	references := []bus.Group{bus.DefaultGroup()}
	for _, g := range slices.Concat(known...) {
		references = append(references, withoutFiles(g))
	}
	plain := make([]bus.Group, len(groups))
	for i, g := range groups {
		plain[i] = withoutFiles(g)
		for _, file := range filesOf(g) {
			if !isPath(file) {
				return fmt.Errorf("group %s: found the file name %q, want %s", bus.Clip(g.Name, maxShown), bus.Clip(file, maxShown), wantFile)
			}
		}
		for _, path := range foreign(plain[i], references) {
			problems = append(problems, Problem{
				Field: "groups " + bus.Clip(g.Name, maxShown) + "." + path, Found: "what no group of this host's config file has",
				Allowed: "what one has there, as programs, files and networks are not chosen over the bus: change that file first",
			})
		}
		plain[i].CloudInit, plain[i].Hardware.DomainXML = bus.CloudInit{}, bus.Text{} // the host's own, which were checked there
	}
	if len(problems) > 0 {
		return problems
	}
	cfg := Default()
	cfg.Groups = plain
	again, _, err := Parse("", cfg.YAML())
	if errors.As(err, &problems) {
		for i := range problems {
			problems[i].Line, problems[i].Column = 0, 0 // of a text that nobody sees
		}
		return problems
	}
	for i, g := range again.Groups {
		if g.Hash() != plain[i].Hash() {
			return fmt.Errorf("group %s: it has what no config file says: is vmscaler of the same version everywhere?", g.Name)
		}
	}
	return nil
}

// maxShown is how much of a name is shown that may be none, in bytes.
const maxShown = 40

// foreign are the fields that are a host's own in which a group is as none of its references.
func foreign(g bus.Group, references []bus.Group) (paths []string) {
	for _, path := range own {
		if !slices.ContainsFunc(references, func(r bus.Group) bool { return sameField(g, r, path) }) {
			paths = append(paths, path)
		}
	}
	return paths
}

func sameField(a, b bus.Group, path string) bool {
	wordA, belowA := groupFields(&a).find(path).render()
	wordB, belowB := groupFields(&b).find(path).render()
	return wordA == wordB && slices.Equal(belowA, belowB)
}

// filesOf are the names of the files that a group's texts are from.
func filesOf(g bus.Group) (names []string) {
	for _, t := range append([]bus.Text{
		g.CloudInit.UserData, g.CloudInit.VendorData, g.CloudInit.NetworkConfig, g.Hardware.DomainXML,
	}, g.CloudInit.SSHKeys...) {
		names = append(names, t.File)
	}
	return names
}

// withoutFiles is a group without which files its texts are from: a name says nothing of the text.
func withoutFiles(g bus.Group) bus.Group {
	g.CloudInit.SSHKeys = slices.Clone(g.CloudInit.SSHKeys)
	for i := range g.CloudInit.SSHKeys {
		g.CloudInit.SSHKeys[i].File = ""
	}
	g.CloudInit.UserData.File, g.CloudInit.VendorData.File, g.CloudInit.NetworkConfig.File = "", "", ""
	g.Hardware.DomainXML.File = ""
	return g
}
