package bus

import (
	"fmt"
	"slices"
)

// TemplateState is how a template is on a host.
type TemplateState string

// The states of a template. On a host where it is anything but ready no VM is made from it.
const (
	TemplateReady    TemplateState = "ready"
	TemplateUnknown  TemplateState = "unknown"  // the actuator has not looked yet, or does not know yet who has it
	TemplateMissing  TemplateState = "missing"  // it is not there, and no other host offers it
	TemplateFetching TemplateState = "fetching" // it comes from another host
	TemplateFailed   TemplateState = "failed"   // it could not be had from another host, for TemplateReason; that is tried again
)

// TemplateReason is why a template could not be had from another host.
type TemplateReason string

// The reasons.
const (
	TemplateDiffers     TemplateReason = "differs"     // hosts offer different files, and the config does not say which
	TemplateNoRoom      TemplateReason = "no-room"     // the pool, or the folder that it comes into, is too small
	TemplateBroken      TemplateReason = "broken"      // another file came than was offered, or one that is no template
	TemplateUnreachable TemplateReason = "unreachable" // no host that offers it could be reached, or sent it to its end
	TemplateNotMade     TemplateReason = "not-made"    // it came, and could not be put into the pool
)

// HostTemplate is one of the templates that the groups of an actuator's config need, as its host has it.
type HostTemplate struct {
	Name   string        `json:"name"`
	State  TemplateState `json:"state"`
	SHA256 string        `json:"sha256,omitempty"` // of its file, or of the one that comes; "": not known
	// SizeBytes is the size of that file, DonePercent how much of it has come, where it is being fetched.
	SizeBytes   int64          `json:"size_bytes,omitempty"`
	DonePercent int            `json:"done_percent,omitempty"`
	From        string         `json:"from,omitempty"`   // the host that it comes from
	Reason      TemplateReason `json:"reason,omitempty"` // of TemplateFailed
	Text        string         `json:"text,omitempty"`   // the same in words
}

// TemplateServer is where the actuators of other hosts get a host's templates, over TLS by keys that both sides say here.
type TemplateServer struct {
	Host        string   `json:"host"`                // its name
	Addresses   []string `json:"addresses,omitempty"` // HOST:PORT; none: it hands out nothing
	Fingerprint string   `json:"fingerprint"`         // SHA-256 of the certificate that it shows, as server and as client
}

// MaxTemplates is how many templates a message has, so that it stays as small as a sign of life should be.
const MaxTemplates = 20

const maxAddresses = 8

// Templates are the names of the templates that a VM of the group is made from, its own first.
func (g Group) Templates() []string {
	names := []string{g.Template}
	for _, d := range g.Disks {
		if d.Template != "" && !slices.Contains(names, d.Template) {
			names = append(names, d.Template)
		}
	}
	return names
}

// WantsOther reports whether a host's template is another file than the group's config says.
func (g Group) WantsOther(t HostTemplate) bool {
	return g.TemplateSHA256 != "" && t.Name == g.Template && t.State == TemplateReady && t.SHA256 != g.TemplateSHA256
}

// Lacks is the first template of a group that a host does not have as it should, and why; "" where it has all. Of a template
// that is not among them nothing is known, which is no reason.
func (g Group) Lacks(templates []HostTemplate) (lacks HostTemplate, why string) {
	for _, name := range g.Templates() {
		i := slices.IndexFunc(templates, func(t HostTemplate) bool { return t.Name == name })
		if i < 0 {
			continue
		}
		t := templates[i]
		switch {
		case g.WantsOther(t):
			has := "one that is not known"
			if t.SHA256 != "" {
				has = shortDigest(t.SHA256)
			}
			return t, fmt.Sprintf("its template %s is another file: its SHA-256 is %s, and template_sha256 says %s", name, has,
				shortDigest(g.TemplateSHA256))
		case t.State == TemplateReady:
		default:
			return t, t.Sentence()
		}
	}
	return HostTemplate{}, ""
}

// Sentence is the state of a template in words.
func (t HostTemplate) Sentence() string {
	switch t.State {
	case TemplateReady:
		return fmt.Sprintf("template %s is there", t.Name)
	case TemplateUnknown:
		return fmt.Sprintf("whether it has template %s is not known yet", t.Name)
	case TemplateMissing:
		return fmt.Sprintf("it has no template %s, and no host offers it", t.Name)
	case TemplateFetching:
		return fmt.Sprintf("template %s comes from %s: %d %%", t.Name, t.From, t.DonePercent)
	case TemplateFailed:
		return fmt.Sprintf("it has no template %s, and could not get it (%s): %s", t.Name, t.Reason, t.Text)
	}
	return fmt.Sprintf("template %s is %s", t.Name, t.State) // of a later version
}

// shortDigest is the beginning of a digest, by which a person tells two apart.
func shortDigest(digest string) string { return digest[:min(12, len(digest))] + "..." }

// templates bounds what an actuator says of templates.
func (b *bounds) templates(a *Acts) {
	b.count("templates", len(a.Templates), MaxTemplates)
	for _, t := range a.Templates {
		b.name("templates.name", t.Name, MaxName)
		b.name("templates.state", string(t.State), maxWord)
		b.name("templates.sha256", t.SHA256, maxWord)
		b.number("templates.size_bytes", float64(t.SizeBytes), maxTemplateBytes)
		b.number("templates.done_percent", float64(t.DonePercent), 100)
		b.name("templates.from", t.From, maxHostName)
		b.name("templates.reason", string(t.Reason), maxWord)
		b.text("templates.text", t.Text)
	}
	if s := a.Serves; s != nil {
		b.name("serves.host", s.Host, maxHostName)
		b.name("serves.fingerprint", s.Fingerprint, maxWord)
		b.count("serves.addresses", len(s.Addresses), maxAddresses)
		for _, address := range s.Addresses {
			b.name("serves.addresses", address, MaxName)
		}
	}
}

const maxTemplateBytes = 1 << 50
