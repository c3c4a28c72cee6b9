package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus"
)

// Agent is a host's right to have an agent on the bus.
type Agent struct {
	Name   string     `json:"-"` // the file's
	HostID bus.HostID `json:"host_id"`
	Key    string     `json:"public_key"` // the private half never leaves the host
	Added  time.Time  `json:"added"`
}

// The folders of the state folder with a file for each agent, and for each token of those who are to become one.
const (
	agentsFolder = "agents"
	tokensFolder = "tokens"
)

// maxAgents is how many agents, and how many tokens, a bus knows.
const maxAgents = bus.MaxHosts

// agentName is what an agent may be called: it is a file's name.
var agentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckAgentName reports what is wrong with the name of an agent's host.
func CheckAgentName(name string) error {
	if !agentName.MatchString(name) {
		return fmt.Errorf("host name: found %q, want 1 to 64 letters, digits, dots, hyphens and underscores, the first a "+
			"letter or a digit",
			name)
	}
	return nil
}

func agentFile(stateDir, folder, name string) string {
	return filepath.Join(stateDir, folder, name+".json")
}

// readFolder reads the files of agents or of tokens. One that cannot be read gives its holder no right; bad says why.
func readFolder[T any](stateDir, folder string, check func(T) error) (all map[string]T, bad error) {
	all = map[string]T{}
	files, err := filepath.Glob(filepath.Join(stateDir, folder, "*.json"))
	if err != nil {
		return all, fmt.Errorf("%s: %w", folder, err)
	}
	for _, file := range files {
		var one T
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was taken away just now
		}
		if err == nil {
			err = json.Unmarshal(data, &one)
		}
		if err == nil {
			err = errors.Join(CheckAgentName(name), check(one))
		}
		switch {
		case err != nil:
			bad = errors.Join(bad, fmt.Errorf("%s: %w", file, err))
		case len(all) == maxAgents:
			return all, errors.Join(bad, fmt.Errorf("%s: found more than %d, which are as many as there may be", folder,
				maxAgents))
		default:
			all[name] = one
		}
	}
	return all, bad
}

func (a Agent) check() error {
	if a.HostID == "" || !nkeys.IsValidPublicUserKey(a.Key) {
		return fmt.Errorf("found host_id %q and public_key %q, want the id of a libvirt and the public nkey of a user", a.HostID,
			a.Key)
	}
	return nil
}

// Agents are those who may be on the bus of a state folder, by their names. bad says which files could not be read.
func Agents(stateDir string) (all []Agent, bad error) {
	found, bad := readFolder(stateDir, agentsFolder, Agent.check)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		a := found[name]
		a.Name = name
		all = append(all, a)
	}
	return all, bad
}

// AddAgent gives a host the right to have an agent. A bus that runs takes it within a second.
func AddAgent(stateDir string, a Agent) error {
	if err := errors.Join(CheckAgentName(a.Name), a.check()); err != nil {
		return err
	}
	known, _ := Agents(stateDir)
	for _, other := range known {
		switch {
		case other.Name == a.Name:
			return fmt.Errorf("the name %s is taken: the host %s has it", a.Name, other.HostID)
		case other.HostID == a.HostID:
			return fmt.Errorf("this host (%s) has joined already, as %s", a.HostID, other.Name)
		case other.Key == a.Key:
			return fmt.Errorf("this key is the one of %s", other.Name)
		}
	}
	if len(known) >= maxAgents {
		return fmt.Errorf("there are %d hosts already, as many as there may be", len(known))
	}
	return writeState(agentFile(stateDir, agentsFolder, a.Name), a)
}

// RemoveAgent takes the right of a host away, and reports whether there was one. The name is that of the agent or the host's
// id. A bus that runs ends its connections within a second.
func RemoveAgent(stateDir, name string) (found bool, err error) {
	known, _ := Agents(stateDir)
	for _, a := range known {
		if a.Name == name || string(a.HostID) == name {
			return true, os.Remove(agentFile(stateDir, agentsFolder, a.Name)) //nolint:wrapcheck // names the file
		}
	}
	return false, nil
}

// writeState writes a file of the state folder, whole or not at all.
func writeState(path string, content any) error {
	data, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeWhole(path, append(data, '\n'))
}

// rights are whom a server lets in beside the roles.
type rights struct {
	agents  []Agent
	tokens  []Token
	limited []credentials
}

func (r rights) same(other rights) bool {
	return slices.Equal(keysOf(r), keysOf(other))
}

func keysOf(r rights) (keys []string) {
	for _, a := range r.agents {
		keys = append(keys, string(a.HostID)+" "+a.Key)
	}
	for _, t := range r.tokens {
		keys = append(keys, t.Key)
	}
	for _, c := range r.limited {
		keys = append(keys, c.of+" "+c.key)
	}
	return keys
}

// readRights reads whom the state folder lets in at a time.
func readRights(stateDir string, now time.Time) (rights, error) {
	agents, badAgents := Agents(stateDir)
	tokens, badTokens := tokens(stateDir, now)
	limited, badLimited := limitedCredentials(stateDir)
	return rights{agents, tokens, limited}, errors.Join(badAgents, badTokens, badLimited)
}
