package staging

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// Wanted is a template that a group of the config needs.
type Wanted struct {
	Name   string
	SHA256 string // of its file, in hexadecimal; "": any
}

// WantedBy are the templates that groups need, each once.
func WantedBy(groups []bus.Group) (all []Wanted) {
	for _, g := range groups {
		for i, name := range g.Templates() {
			w := Wanted{Name: name}
			if i == 0 {
				w.SHA256 = g.TemplateSHA256
			}
			at := slices.IndexFunc(all, func(other Wanted) bool { return other.Name == name })
			if at < 0 {
				all = append(all, w)
			} else if all[at].SHA256 == "" {
				all[at].SHA256 = w.SHA256
			}
		}
	}
	return all
}

// peer is another host's actuator, as it was heard last.
type peer struct {
	serves    bus.TemplateServer
	templates []bus.HostTemplate
	heard     time.Time
}

func (p peer) counts(now time.Time) bool { return now.Sub(p.heard) <= peerAge }

// source is a file that can be had, and where.
type source struct {
	digest string
	size   int64 // bytes
	from   []bus.TemplateServer
}

// problem is why a template could not be had.
type problem struct {
	reason bus.TemplateReason
	text   string
	busy   bool // the hosts hand out as much as they may: it is no failure, and has no reason
}

// shun is a file as one host hands it out.
type shun struct{ fingerprint, digest string }

// choose is the file that a template is to be had as, from those that peers offer, but for what is shunned. Without one there is
// a problem where the peers offer different ones, and none where nobody offers any.
func choose(w Wanted, peers map[bus.HostID]peer, shunned map[shun]time.Time) (s source, found bool, p *problem) {
	byDigest := map[string]*source{}
	for _, id := range slices.Sorted(maps.Keys(peers)) {
		from := peers[id]
		for _, t := range from.templates {
			_, bad := shunned[shun{from.serves.Fingerprint, t.SHA256}]
			if t.Name != w.Name || t.State != bus.TemplateReady || t.SHA256 == "" || len(from.serves.Addresses) == 0 || bad ||
				w.SHA256 != "" && t.SHA256 != w.SHA256 {
				continue
			}
			if byDigest[t.SHA256] == nil {
				byDigest[t.SHA256] = &source{digest: t.SHA256, size: t.SizeBytes}
			}
			byDigest[t.SHA256].from = append(byDigest[t.SHA256].from, from.serves)
		}
	}
	switch len(byDigest) {
	case 0:
		return source{}, false, nil
	case 1:
		for _, only := range byDigest {
			return *only, true, nil
		}
	}
	var offers []string
	for _, digest := range slices.Sorted(maps.Keys(byDigest)) {
		offers = append(offers, fmt.Sprintf("%s has SHA-256 %s", byDigest[digest].from[0].Host, digest))
	}
	return source{}, false, &problem{reason: bus.TemplateDiffers, text: strings.Join(offers[:min(len(offers), 4)], ", ") +
		": say by the group's template_sha256 which it is to be"}
}

// usable reports whether VMs can be made from what the pool has.
func usable(info template.Info, there bool) bool { return there && info.Complete && info.Broken == nil }

// atOnce is how many templates come at the same time.
const atOnce = 2

// busyAfter is for how long a template is left that hosts have, and hand out as much as they may.
const busyAfter = 10 * time.Second

// retryAfter is for how long a template that could not be had is not tried again, after so many failures in a row.
func retryAfter(failures int) time.Duration {
	return min(10*time.Second<<min(failures-1, 10), 10*time.Minute)
}

// order is how templates are said: those that are not ready first, as of many some are left out.
func order(all []bus.HostTemplate) []bus.HostTemplate {
	late := func(t bus.HostTemplate) int {
		if t.State == bus.TemplateReady {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b bus.HostTemplate) int {
		return cmp.Or(late(a)-late(b), strings.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), bus.MaxTemplates)]
}
