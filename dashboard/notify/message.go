package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Message is what a target is told. It is the body of the type json.
type Message struct {
	V        int      `json:"v"`
	ID       string   `json:"id"` // the same for the same event, whoever sends it
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	Group    string   `json:"group,omitempty"`
	VM       string   `json:"vm,omitempty"`
	Host     string   `json:"host,omitempty"`
	Stage    string   `json:"stage,omitempty"`    // of a problem
	Instance string   `json:"instance,omitempty"` // of the stage
	Text     string   `json:"text"`               // one line, with all of it
	// Count is how many of this kind and group it stands for, the last of which it is about.
	Count int       `json:"count"`
	Time  time.Time `json:"time"`
}

// version of the messages.
const version = 1

// newMessage completes a message, whose text may be anything.
func newMessage(m Message, text ...string) Message {
	m.V, m.Severity, m.Count, m.Time = version, m.Kind.Severity(), 1, m.Time.UTC()
	m.Group, m.VM, m.Host = bus.Line(m.Group), bus.Line(m.VM), bus.Line(m.Host)
	m.Stage, m.Instance = bus.Line(m.Stage), bus.Line(m.Instance)
	var parts []string
	for _, part := range append([]string{m.Group, string(m.Kind), m.VM}, text...) {
		if part = bus.Line(part); part != "" {
			parts = append(parts, part)
		}
	}
	m.Text = strings.Join(parts, ": ")
	if len(m.Text) > maxText {
		m.Text = strings.ToValidUTF8(m.Text[:maxText], "") + "…"
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%s\n%s\n%s\n%d", m.Kind, m.Group, m.VM, m.Host, m.Stage, m.Instance,
		m.Time.UnixNano()))
	m.ID = "msg_" + hex.EncodeToString(sum[:16])
	return m
}

const maxText = 1000 // bytes

// times is the message for several of its kind within a window.
func (m Message) times(n int, window time.Duration) Message {
	if n > 1 {
		m.Count = n
		m.Text = fmt.Sprintf("%d within %s, the last: %s", n, window, m.Text)
	}
	return m
}
