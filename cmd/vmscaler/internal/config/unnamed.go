package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// LoadUnnamed reads a file that was not named, as it lies in the current folder: the user who runs the program there may not
// know of it. If others than the user euid and root could have written it, all are defaults and there is a warning. It may
// not name a way to libvirt that runs a program.
func LoadUnnamed(name string, euid int) (Config, []Warning, error) {
	data, err := readOwn(name, euid)
	var unsafe *ownfile.UnsafeError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Default(), nil, nil
	case errors.As(err, &unsafe):
		return Default(), []Warning{{
			File: name, Text: fmt.Sprintf("is not read, as it may be another user's: %s", unsafe),
			Remedy: fmt.Sprintf("to read it all the same, name it with `-c %s`", name),
		}}, nil
	case err != nil:
		return Config{}, nil, fmt.Errorf("read the configuration: %w", err)
	}
	cfg, warnings, err := Parse(name, data)
	p, bad := cfg.unnamedURI()
	if !bad {
		return cfg, warnings, err
	}
	cfg.LibvirtURI = ""
	var problems Problems
	errors.As(err, &problems)
	problems = append(problems, p)
	problems.sort()
	return cfg, nil, problems
}

// readOwn reads a file whose folder, and what it may be a link to, are this user's or root's.
func readOwn(name string, euid int) ([]byte, error) {
	if _, err := os.Lstat(name); err != nil {
		return nil, err
	}
	if _, err := ownfile.Folder(filepath.Dir(name), euid); err != nil {
		return nil, err
	}
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	f, err := ownfile.Open(target, os.O_RDONLY, 0, euid)
	if err != nil {
		return nil, err
	}
	return readAll(f)
}

// unnamedURI is a problem if the URI has more than says where libvirt is. libvirt runs what ext's command and others name,
// by a shell where it is for ssh.
func (c Config) unnamedURI() (Problem, bool) {
	u, err := url.Parse(c.LibvirtURI)
	if err != nil || c.LibvirtURI == "" {
		return Problem{}, false // Parse has looked at it
	}
	found := ""
	_, transport, _ := strings.Cut(u.Scheme, "+")
	if !slices.Contains([]string{"", "unix", "ssh", "tls", "tcp"}, transport) {
		found = "the transport " + transport
	}
	for name := range u.Query() {
		if !slices.Contains([]string{"socket", "mode", "root"}, name) {
			found = "the parameter " + name
		}
	}
	if strings.HasPrefix(u.Host, "-") {
		found = "the host " + u.Host
	}
	if found == "" {
		return Problem{}, false
	}
	return c.Problem("libvirt.uri", found, fmt.Sprintf("in a file that is read because it lies here, only where libvirt is "+
		"(unix, ssh, tls or tcp, socket, mode, root); `-c %s` allows more", c.Path)), true
}
