package bus

import (
	"errors"
	"time"
)

// HealthInterval is the time between two signs of life when nothing changes.
const HealthInterval = 3 * time.Second

// Health is a stage's sign of life.
type Health struct {
	V        int    `json:"v"`
	Stage    string `json:"stage"`    // bus, collector, decider or actuator
	Instance string `json:"instance"` // host name and process id
	OK       bool   `json:"ok"`
	Message  string `json:"message"` // what it waits for or what is wrong; "" when all is well
	// Problems are what Message says in words; none where it is the text of an error, or there is nothing wrong.
	Problems []Problem `json:"problems,omitempty"`
	Acts     *Acts     `json:"acts,omitempty"` // of an actuator
	// Dropped counts the messages that it did not use since its start: malformed, of another version, expired, repeated.
	Dropped uint64    `json:"dropped"`
	Since   time.Time `json:"since"` // when the stage started
	Time    time.Time `json:"time"`
	Version string    `json:"version"`
}

// Acts is where an actuator acts, and what it finds there that a decider cannot see.
type Acts struct {
	HostID HostID   `json:"host_id"`
	Full   []string `json:"full"` // the groups of which no further VM has room
	// Taken are, by group, those n for which something that is not ours is called <group>-<n>: a domain, or a file in the pool.
	Taken map[string][]int `json:"taken"`
	// Failures are, by group, the launches that have failed since the actuator started; a group that is not there has none.
	Failures map[string]int `json:"failures,omitempty"`
}

func (h *Health) check() error {
	if h.Stage == "" || h.Instance == "" || h.Time.IsZero() {
		return errors.New("health without stage, instance or time")
	}
	if err := checkVersion(h.V); err != nil {
		return err
	}
	return h.bounds()
}
