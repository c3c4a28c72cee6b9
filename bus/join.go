package bus

import (
	"errors"
	"fmt"
)

// JoinSubject is where the holder of a token asks to join; who the token is for is known by the subject, which only its holder
// may use. key is the public half of the token's key.
func JoinSubject(key string) string { return "vmscaler.join." + key }

// AllJoins are the requests to join.
const AllJoins = "vmscaler.join.*"

// JoinInbox is below which subject the answer to the holder of a token comes.
func JoinInbox(key string) string { return "_VMSCALER.join." + key }

// Join asks that the agent of a host may be on the bus.
type Join struct {
	V      int    `json:"v"`
	HostID HostID `json:"host_id"`
	Key    string `json:"public_key"` // of the agent; the host keeps the private half
}

// JoinRefusal is why a host may not join; "" is that it may.
type JoinRefusal string

// Why a host may not join.
const (
	JoinSpent   JoinRefusal = "spent"   // the token was used before
	JoinExpired JoinRefusal = "expired" // it is too old
	JoinTaken   JoinRefusal = "taken"   // the name, the host or the key is there already
	JoinFailed  JoinRefusal = "failed"  // the bus could not keep it
)

// Joined is the answer to a Join.
type Joined struct {
	V       int         `json:"v"`
	Refused JoinRefusal `json:"refused,omitempty"`
	Text    string      `json:"text,omitempty"` // why, for people
	Name    string      `json:"name,omitempty"` // of the host, as the one who made the token has named it
	// Certificates (PEM) are what the bus shows; "" where it has no TLS.
	Certificates string `json:"certificates,omitempty"`
}

func (j *Join) check() error {
	if j.HostID == "" || j.Key == "" {
		return errors.New("join without host_id or public_key")
	}
	if err := checkVersion(j.V); err != nil {
		return err
	}
	var b bounds
	b.name("host_id", string(j.HostID), maxHostName)
	b.name("public_key", j.Key, maxWord)
	return b.of("join")
}

func (j *Join) most() int { return 4 << 10 }

func (j *Joined) check() error {
	if err := checkVersion(j.V); err != nil {
		return err
	}
	switch j.Refused {
	case "", JoinSpent, JoinExpired, JoinTaken, JoinFailed:
		return nil
	}
	return fmt.Errorf("answer to join: found refused %q, want %s, %s, %s, %s or nothing", j.Refused, JoinSpent, JoinExpired,
		JoinTaken,
		JoinFailed)
}

func (j *Joined) most() int { return 256 << 10 }
