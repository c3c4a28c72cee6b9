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
	// HostID is the host whose agent says it, which its subject ends in then; "" where the bus does not bind who says it to a
	// host.
	HostID  HostID `json:"host_id,omitempty"`
	OK      bool   `json:"ok"`
	Message string `json:"message"` // what it waits for or what is wrong; "" when all is well
	// Problems are what Message says in words; none where it is the text of an error, or there is nothing wrong.
	Problems []Problem `json:"problems,omitempty"`
	Acts     *Acts     `json:"acts,omitempty"` // of an actuator
	// Dropped counts the messages that it did not use since its start: malformed, of another version, expired, repeated.
	Dropped uint64 `json:"dropped"`
	// Calls are how long its calls of libvirt and of the bus have taken since its start, those that it counts.
	Calls   []CallTime `json:"calls,omitempty"`
	Since   time.Time  `json:"since"` // when the stage started
	Time    time.Time  `json:"time"`
	Version string     `json:"version"`
}

// Acts is where an actuator acts, and what it finds there that a decider cannot see.
type Acts struct {
	HostID HostID   `json:"host_id"`
	Full   []string `json:"full"` // the groups of which no further VM has room
	// Taken are, by group, those n for which something that is not ours is called <group>-<n>: a domain, or a file in the pool.
	Taken map[string][]int `json:"taken"`
	// Kept are, by group, those n for which a disk is kept on the host for the VM <group>-<n>, whether that is there or not.
	Kept map[string][]int `json:"kept,omitempty"`
	// Failures are, by group, the launches that have failed since the actuator started; a group that is not there has none.
	Failures map[string]int `json:"failures,omitempty"`
	// ClusterID is the cluster that the host belongs to, and Term the highest by which it has acted, as its disk has them; "" and
	// 0 are none yet.
	ClusterID string `json:"cluster_id,omitempty"`
	Term      int64  `json:"term,omitempty"`
	// Hooks are those that VMs wait for, of many those that end first: at most MaxPendingHooks.
	Hooks []PendingHook `json:"hooks,omitempty"`
	// Templates are those that the groups need, at most MaxTemplates, those first that are not ready.
	Templates []HostTemplate `json:"templates,omitempty"`
	// Serves is how templates are had from here; nil: it takes no part in that.
	Serves *TemplateServer `json:"serves,omitempty"`
}

// MaxPendingHooks is how many hooks that are waited for a message has, so that it stays as small as a sign of life should be.
const MaxPendingHooks = 20

// PendingHook is a hook that a VM waits for.
type PendingHook struct {
	Group   string    `json:"group"`
	VM      string    `json:"vm"`
	Hook    HookKind  `json:"hook"`
	Name    string    `json:"name,omitempty"` // of the hook, where there are several
	WaitFor WaitFor   `json:"wait_for"`
	Token   string    `json:"token,omitempty"` // what an answer must name; "" for a command
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"` // the hook's default holds then
}

// BindHost has the message's subject end in its host.
func (h *Health) BindHost(id HostID) { h.HostID = id }

func (h *Health) check() error {
	if h.Stage == "" || h.Instance == "" || h.Time.IsZero() {
		return errors.New("health without stage, instance or time")
	}
	if h.HostID != "" && h.Acts != nil && h.Acts.HostID != h.HostID {
		return errors.New("health of one host that says it acts on another")
	}
	if err := checkVersion(h.V); err != nil {
		return err
	}
	return h.bounds()
}
