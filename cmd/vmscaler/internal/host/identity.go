package host

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Identity is which libvirt a connection reaches, whatever its URI is spelled like.
type Identity struct {
	// ID is stable over restarts of the daemon and of the host, of [a-z0-9-]. Where it cannot be (the session of a
	// user on another host), it is as good as Running.
	ID string
	// Running is of the daemon that answers now: no two daemons that run at one time have the same, even where
	// one of them is reached in ways that give it different IDs (a container, ssh to the own host).
	Running    string
	Name       string // the host's name, for people
	Session    bool   // of a user, not the host's own
	SessionUID int    // of the user of this host whose session it is; 0 for all others
}

// Names are ID and Running, each once.
func (id Identity) Names() []string { return slices.Compact([]string{id.ID, id.Running}) }

// Identify asks a libvirt who it is; uri is what was dialled.
func Identify(conn *libvirt.Connect, uri string) (Identity, error) {
	name, err := conn.GetHostname()
	if err != nil {
		return Identity{}, fmt.Errorf("identify %s: read the host's name: %w", uri, err)
	}
	f, err := gatherFacts(conn, uri)
	if err != nil {
		return Identity{}, fmt.Errorf("identify %s: %w", uri, err)
	}
	id, err := f.identity()
	if err != nil {
		return Identity{}, fmt.Errorf("identify %s: %w", uri, err)
	}
	id.Name = name
	return id, nil
}

// facts are what an identity is made of.
type facts struct {
	driver, path string // "qemu", "/system": what libvirt itself calls the connection
	root         string // of the driver without a daemon
	hostUUID     string // libvirt's; "" when it has none
	manages      bool   // it manages file owners, which only a privileged daemon does

	remote    bool   // on another host, or reached as if it were
	user      string // whose session, on another host
	uid       int    // whose session, on this one
	socketDir string // where the session's socket is, links resolved
	usualDirs []string

	dmi       bool   // this machine has the UUID that a privileged libvirt takes
	machineID string // 32 hexadecimal digits, or ""
}

// identity chooses. libvirt's host UUID is stable only where the daemon may read the firmware's; every other daemon
// makes one up at each start.
func (f facts) identity() (Identity, error) {
	kind, running, privileged, err := f.kind()
	if err != nil {
		return Identity{}, err
	}
	own, err := uuidOf(f.machineID)
	if err != nil {
		return Identity{}, err
	}
	hosts := f.hostUUID
	if hosts == "" {
		hosts = own // a driver that has none is in this process
	}
	if hosts == "" {
		return Identity{}, errors.New("neither libvirt nor this machine (/etc/machine-id) has a UUID; set host_uuid in libvirtd.conf")
	}
	stable := hosts
	if own != "" && !f.remote && (!privileged || !f.dmi) {
		stable = own
	}
	id := Identity{ID: stable + "-" + kind, Running: hosts + "-" + running}
	if id.Session = f.driver == "qemu" && f.path == "/session" && !privileged; id.Session && !f.remote {
		id.SessionUID = f.uid
	}
	return id, nil
}

// kind is which of a host's daemons it is: what it is, not how the URI spells it. Root's qemu:///session is the
// system's daemon.
func (f facts) kind() (kind, running string, privileged bool, err error) {
	switch {
	case f.driver == "test":
		kind = "test-" + token(strings.TrimPrefix(f.path, "/"))
		return kind, kind, false, nil
	case f.driver != "qemu":
		return "", "", false, fmt.Errorf("libvirt's driver %q, want qemu or test", f.driver)
	case f.path == "/embed":
		kind = "embed"
		if f.root != "" {
			kind += "-" + short(f.root)
		}
		return kind, kind, true, nil
	case f.path == "/system", f.path == "/session" && f.manages:
		return "system", "system", true, nil
	case f.path == "/session" && f.remote:
		kind = "session-" + token(f.user)
		return kind, kind, false, nil
	case f.path == "/session":
		running = "session-" + strconv.Itoa(f.uid)
		kind = running
		if !slices.Contains(f.usualDirs, f.socketDir) {
			kind += "-" + short(f.socketDir) // a user may run several, in folders of their own
		}
		return kind, running, false, nil
	}
	return "", "", false, fmt.Errorf("libvirt calls it qemu://%s, want /system, /session or /embed", f.path)
}

// token makes a name one of [a-z0-9-], distinct from what any other becomes.
func token(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, name)
	if clean != name || clean == "" {
		clean += "-" + short(name)
	}
	return strings.TrimPrefix(clean, "-")
}

func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// appID makes the UUID that vmscaler shows unrelated to the machine-id, which is confidential.
const appID = "\x6b\x0f\x9a\x3e\x51\xc2\x4d\x7b\x8e\x14\xd0\x2f\x95\xa7\x63\xcc"

// uuidOf is the UUID of a machine-id, as sd_id128_get_machine_app_specific(3) makes it; "" when there is none.
func uuidOf(machineID string) (string, error) {
	if machineID == "" {
		return "", nil
	}
	id, err := hex.DecodeString(machineID)
	if err != nil {
		return "", fmt.Errorf("/etc/machine-id: %w", err)
	}
	mac := hmac.New(sha256.New, id)
	_, _ = mac.Write([]byte(appID))
	b := mac.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

func gatherFacts(conn *libvirt.Connect, dialled string) (facts, error) {
	called, err := conn.GetURI()
	if err != nil {
		return facts{}, fmt.Errorf("read libvirt's URI: %w", err)
	}
	said, err := url.Parse(called)
	if err != nil {
		return facts{}, fmt.Errorf("libvirt's URI: %w", err)
	}
	u, err := url.Parse(dialled)
	if err != nil || u.Scheme == "" {
		u = said // an alias of libvirt.conf
	}
	driver, _, _ := strings.Cut(said.Scheme, "+")
	f := facts{driver: driver, path: said.Path, root: resolve(said.Query().Get("root"))}
	text, err := conn.GetCapabilities()
	if err != nil {
		return facts{}, fmt.Errorf("read libvirt's capabilities: %w", err)
	}
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(text); err != nil {
		return facts{}, fmt.Errorf("libvirt's capabilities: %w", err)
	}
	f.hostUUID = strings.ToLower(caps.Host.UUID)
	for _, m := range caps.Host.SecModel {
		f.manages = f.manages || m.Name == "dac"
	}
	_, transport, _ := strings.Cut(u.Scheme, "+")
	f.remote = u.Host != "" || transport != "" && transport != "unix"
	f.dmi = hasDMI()
	f.machineID = readMachineID()
	if f.remote {
		f.user = u.User.Username()
		if f.user == "" {
			f.user = "as-ssh-says" // the own name, or what ssh's config has for the host
		}
		return f, nil
	}
	if f.path != "/session" || f.manages {
		return f, nil
	}
	return f, f.session(u.Query().Get("socket"))
}

// session finds whose session it is: the owner's of the socket.
func (f *facts) session(socket string) error {
	f.uid = os.Geteuid()
	var dir string
	if socket != "" {
		info, err := os.Stat(socket)
		if err != nil {
			return fmt.Errorf("libvirt's socket: %w", err)
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			f.uid = int(stat.Uid)
		}
		dir = filepath.Dir(socket)
	} else if dir = os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		dir = filepath.Join(dir, "libvirt")
	} else if cache, err := os.UserCacheDir(); err == nil {
		dir = filepath.Join(cache, "libvirt")
	}
	f.socketDir = resolve(dir)
	id := strconv.Itoa(f.uid)
	f.usualDirs = []string{resolve("/run/user/" + id + "/libvirt")}
	if u, err := user.LookupId(id); err == nil {
		f.usualDirs = append(f.usualDirs, resolve(filepath.Join(u.HomeDir, ".cache", "libvirt")))
	}
	return nil
}

// resolve is a path without links, as far as it exists.
func resolve(path string) string {
	if path == "" {
		return ""
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return filepath.Clean(path)
}

// hasDMI reports whether a privileged libvirt finds the firmware's UUID here. One whose bytes are all the same is
// none to libvirt either; what only root may read is taken to be good.
func hasDMI() bool {
	const path = "/sys/class/dmi/id/product_uuid"
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return true
	}
	if err != nil {
		return false
	}
	id, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""))
	return err == nil && len(id) == 16 && !bytes.Equal(id, bytes.Repeat(id[:1], 16))
}

// readMachineID is the machine's, or "" where it has none (yet).
func readMachineID() string {
	text, err := os.ReadFile("/etc/machine-id")
	id := strings.TrimSpace(string(text))
	if b, hexErr := hex.DecodeString(id); err != nil || hexErr != nil || len(b) != 16 {
		return ""
	}
	return id
}
