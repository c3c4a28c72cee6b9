package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/vmscaler/vmscaler/bus"
)

// credentials are the public key of a role that is limited to groups, and what its holder may do.
type credentials struct {
	of          string
	key         string
	permissions bus.Permissions
}

// Between the role and its groups, and between two of them, in the name of a file; no group's name has them.
const (
	limitedTo  = "@"
	groupsJoin = "+"
	keyEnding  = ".nk"
)

// LimitedCredentialsFile is where a bus with this state folder keeps the credentials of a role that is limited to some groups.
func LimitedCredentialsFile(stateDir string, role bus.Role, groups []string) string {
	groups = slices.Compact(slices.Sorted(slices.Values(groups)))
	return filepath.Join(stateDir, "credentials", string(role)+limitedTo+strings.Join(groups, groupsJoin)+keyEnding)
}

// MakeLimitedCredentials makes the credentials of a role that is limited to some groups, where they are missing, for the owner of
// the folder, and reports whether it has. A bus that runs takes them within a second, and lets nobody in by one that is gone.
func MakeLimitedCredentials(stateDir string, role bus.Role, groups []string) (file string, made bool, err error) {
	if _, err := role.PermissionsFor(groups); err != nil {
		return "", false, err
	}
	file = LimitedCredentialsFile(stateDir, role, groups)
	if most := 255 - len(".new"); len(filepath.Base(file)) > most {
		return "", false, fmt.Errorf("the name of the file for these groups has %d bytes, %d are allowed: name fewer groups",
			len(filepath.Base(file)), most)
	}
	folder, err := os.Stat(filepath.Dir(file))
	if err != nil {
		return "", false, err //nolint:wrapcheck // names the folder
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, false, err //nolint:wrapcheck // names the file
	}
	key, err := writeCredentials(file)
	if err != nil {
		return "", false, err
	}
	key.Wipe()
	if stat, ok := folder.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() { // else the bus would refuse it
		if err := os.Lchown(file, int(stat.Uid), int(stat.Gid)); err != nil {
			return "", false, errors.Join(err, os.Remove(file))
		}
	}
	return file, true, nil
}

// limitedCredentials are those of roles that are limited to groups, as the names of their files say. The error names the files
// that give nobody a right, and the others do all the same.
func limitedCredentials(stateDir string) (all []credentials, bad error) {
	folder := filepath.Join(stateDir, "credentials")
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	owners := map[string]string{}
	for _, entry := range entries {
		of, isKey := strings.CutSuffix(entry.Name(), keyEnding)
		if !isKey || !strings.Contains(of, limitedTo) {
			continue
		}
		one, err := readLimited(filepath.Join(folder, entry.Name()), of)
		if other := owners[one.key]; err == nil && other != "" {
			err = fmt.Errorf("found the key of %s, want one of its own", other)
		}
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("credentials of %s: %w", of, err))
			continue
		}
		owners[one.key] = of
		all = append(all, one)
	}
	return all, bad
}

func readLimited(file, of string) (credentials, error) {
	role, groups, _ := strings.Cut(of, limitedTo)
	permissions, err := bus.Role(role).PermissionsFor(strings.Split(groups, groupsJoin))
	if err != nil {
		return credentials{}, err
	}
	key, err := readCredentials(file, os.Geteuid())
	if err != nil {
		return credentials{}, err
	}
	defer key.Wipe()
	public, err := key.PublicKey()
	return credentials{of, public, permissions}, err
}
