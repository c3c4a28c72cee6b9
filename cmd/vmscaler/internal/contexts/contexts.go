package contexts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

const (
	fileMode, folderMode = 0o600, 0o700
	mostBytes            = 1 << 20
)

// Context is how one vmscaler is reached. Its fields are settings of the same names in vmscaler.yaml.
type Context struct {
	URL      string `yaml:"url,omitempty"         json:"url,omitempty"`
	Nkey     string `yaml:"nkey,omitempty"        json:"nkey,omitempty"`
	Creds    string `yaml:"credentials,omitempty" json:"credentials,omitempty"`
	CA       string `yaml:"ca,omitempty"          json:"ca,omitempty"`
	Cert     string `yaml:"cert,omitempty"        json:"cert,omitempty"`
	Key      string `yaml:"key,omitempty"         json:"key,omitempty"`
	StateDir string `yaml:"state_dir,omitempty"   json:"state_dir,omitempty"`
	URI      string `yaml:"uri,omitempty"         json:"uri,omitempty"` // of its host's libvirt
}

// Contexts are all of a user.
type Contexts struct {
	InUse string             `yaml:"in_use,omitempty"` // "": none
	Named map[string]Context `yaml:"contexts"`
}

// Names are their names, sorted.
func (c Contexts) Names() []string { return slices.Sorted(maps.Keys(c.Named)) }

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`)

// CheckName reports what is wrong with a name.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("found %q, want a letter or digit, then up to 62 letters, digits, '.', '_' and '-'", name)
	}
	return nil
}

// Path is the file of this user's contexts.
func Path() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the folder of the contexts: %w", err)
	}
	return filepath.Join(dir, "vmscaler", "contexts.yaml"), nil
}

// Load reads a file; without one there are no contexts. One that others could have written is refused: it says with which keys
// to log in where.
func Load(path string, euid int) (Contexts, error) {
	all := Contexts{Named: map[string]Context{}}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	f, err := ownfile.Open(path, os.O_RDONLY, 0, euid)
	if err != nil {
		return all, fmt.Errorf("read the contexts: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, mostBytes))
	if err = errors.Join(err, f.Close()); err != nil {
		return all, fmt.Errorf("read the contexts: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(data, &all, yaml.Strict()); err != nil {
		return all, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, false))
	}
	if all.Named == nil {
		all.Named = map[string]Context{}
	}
	for _, name := range all.Names() {
		if err := CheckName(name); err != nil {
			return all, fmt.Errorf("%s: name of a context: %w", path, err)
		}
	}
	return all, nil
}

// Save writes the file again, which is the old or the new one at any moment.
func Save(path string, all Contexts) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep the contexts: %w", err)
		}
	}()
	data, err := yaml.Marshal(all)
	if err != nil {
		return err //nolint:wrapcheck // above
	}
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return err //nolint:wrapcheck // above
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".contexts-*")
	if err != nil {
		return err //nolint:wrapcheck // above
	}
	defer func() { _ = os.Remove(f.Name()) }() // which is gone where all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(fileMode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path) //nolint:wrapcheck // above
}
