package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// CredentialsFile is where a bus with this state folder keeps a role's credentials: an nkey seed, which
// `nats --nkey` reads too. A role that has a folder of its name there has its file in it, so that it can be given to a
// container without the others.
func CredentialsFile(stateDir string, role bus.Role) string {
	dir := filepath.Join(stateDir, "credentials")
	if info, err := os.Stat(filepath.Join(dir, string(role))); err == nil && info.IsDir() {
		dir = filepath.Join(dir, string(role))
	}
	return filepath.Join(dir, string(role)+".nk")
}

// makeCredentials gives the public key of each role, whose credentials are made where they are missing. A file that
// others can read, or that belongs to another user, is refused: its key may be known.
func makeCredentials(stateDir string) (map[bus.Role]string, error) {
	if err := os.MkdirAll(filepath.Join(stateDir, "credentials"), 0o700); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	public, owners := map[bus.Role]string{}, map[string]bus.Role{}
	for _, role := range bus.Roles() {
		path := CredentialsFile(stateDir, role)
		key, err := readCredentials(path, os.Geteuid())
		if errors.Is(err, fs.ErrNotExist) {
			key, err = writeCredentials(path)
		}
		if err != nil {
			return nil, fmt.Errorf("credentials of %s: %w", role, err)
		}
		if public[role], err = key.PublicKey(); err != nil {
			return nil, fmt.Errorf("credentials of %s: %w", role, err)
		}
		key.Wipe()
		if other, taken := owners[public[role]]; taken { // the owner of one key would have the rights of the other role
			return nil, fmt.Errorf(
				"credentials of %s: %s: found the key of %s, want one of its own; delete the file and start the bus again for a new one",
				role,
				path,
				other,
			)
		}
		owners[public[role]] = role
	}
	return public, nil
}

// readCredentials reads the key of a file that must be the user's who runs the bus.
func readCredentials(path string, euid int) (nkeys.KeyPair, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: found no regular file; delete it and start the bus again for a new one", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf(
			"%s: found mode %#o, want 0600: others may know the key; delete the file and start the bus again for a new one",
			path,
			mode,
		)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != euid {
		return nil, fmt.Errorf(
			"%s: belongs to user id %d, want %d, who runs the bus: run the bus as the other, or chown the file",
			path,
			stat.Uid,
			euid,
		)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	seed := []byte(strings.TrimSpace(string(data)))
	kind, _, err := nkeys.DecodeSeed(seed)
	if err == nil && kind != nkeys.PrefixByteUser { // nobody could log in with it
		err = fmt.Errorf("it is of kind %s, want user", kind)
	}
	if err != nil {
		return nil, fmt.Errorf(
			"%s: found no nkey seed of a user (%w); delete the file and start the bus again for a new one",
			path,
			err,
		)
	}
	return nkeys.FromSeed(seed) //nolint:wrapcheck // it was decoded already
}

// writeCredentials makes a new key; the file is there whole or not at all.
func writeCredentials(path string) (nkeys.KeyPair, error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	seed, err := key.Seed()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if err := ownfile.Replace(path, append(seed, '\n')); err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	return key, nil
}
