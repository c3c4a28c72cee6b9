package membership

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// Membership is what a host keeps of the bus that it has joined.
type Membership struct {
	Name   string     `json:"name"` // of the host, as the bus knows it
	HostID bus.HostID `json:"host_id"`
	URL    string     `json:"url"` // of the bus, or several with commas between
	TLS    bool       `json:"tls"`
}

// The folder in a state folder, and its files.
const (
	folder   = "agent"
	factFile = "joined.json"
	keyFile  = "agent.nk"
	certFile = "bus.crt"
)

// Dir is the folder of a membership in a state folder.
func Dir(stateDir string) string { return filepath.Join(stateDir, folder) }

// Load reads the membership of a state folder; found is false where there is none.
func Load(stateDir string) (m Membership, found bool, err error) {
	path := filepath.Join(Dir(stateDir), factFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && (m.URL == "" || m.HostID == "") {
		err = errors.New("found no url or no host_id")
	}
	if err != nil {
		return m, false, fmt.Errorf("%s: %w; delete the folder and join again", path, err)
	}
	return m, true, nil
}

// Remote is how the agent reaches the bus.
func (m Membership) Remote(stateDir string) client.Remote {
	r := client.Remote{URL: m.URL, Nkey: filepath.Join(Dir(stateDir), keyFile), Host: m.HostID}
	if m.TLS {
		r.CA = filepath.Join(Dir(stateDir), certFile)
	}
	return r
}

// kept is a membership that is being written; what is there of it goes with undo.
type kept struct{ dir string }

// begin makes the folder with the host's key, before anything is asked of the bus. There must be no membership.
func begin(stateDir string, seed []byte) (kept, error) {
	k := kept{Dir(stateDir)}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return k, err //nolint:wrapcheck // names the folder
	}
	err := errors.Join(k.write(keyFile, append(seed, '\n')), ownfile.GiveAs(stateDir, k.dir))
	if err != nil {
		k.undo()
	}
	return k, err
}

func (k kept) write(name string, data []byte) error {
	path := filepath.Join(k.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err //nolint:wrapcheck // names the file
	}
	return ownfile.GiveAs(filepath.Dir(k.dir), path)
}

// finish keeps the membership; what says that there is one comes last.
func (k kept) finish(m Membership, certificates string) error {
	if m.TLS {
		if err := k.write(certFile, []byte(certificates)); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	return k.write(factFile, append(data, '\n'))
}

// undo leaves nothing behind.
func (k kept) undo() {
	for _, name := range []string{factFile, keyFile, certFile} {
		_ = os.Remove(filepath.Join(k.dir, name))
	}
	_ = os.Remove(k.dir)
}
