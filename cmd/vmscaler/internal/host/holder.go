package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Holder is the process that acts on a libvirt.
type Holder struct {
	PID     int    `json:"pid"`
	UID     int    `json:"uid"`
	Command string `json:"command"` // such as "vmscaler run"
	URI     string `json:"uri"`
	BusURL  string `json:"bus_url,omitempty"` // where its bus listens
	// StateDir is its state folder, where the credentials of its bus are if that is its own.
	StateDir string `json:"state_dir,omitempty"`
	// Config is the file that its groups are of; "": it does not say, or has none.
	Config string `json:"config,omitempty"`
	// Groups are those that it acts for; null where it does not say.
	Groups []string  `json:"groups,omitempty"`
	Since  time.Time `json:"since"`
}

// Who names the process, what it acts on, and for which groups.
func (h Holder) Who() string {
	who := h.Command
	if h.PID != 0 {
		who += fmt.Sprintf(" (process %d)", h.PID)
	}
	who += " acts on " + h.URI
	if len(h.Groups) > 0 {
		who += " for " + strings.Join(h.Groups, ", ")
	}
	return who
}

// LockedError reports that another process acts on the same libvirt.
type LockedError struct{ Holder Holder }

func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("%s acts on %s already", e.Holder.Command, e.Holder.URI)
	}
	return fmt.Sprintf("%s (process %d, since %s) acts on %s already", e.Holder.Command, e.Holder.PID,
		e.Holder.Since.Local().Format(time.DateTime), e.Holder.URI)
}

// FindHolder is the process that acts on one of the URIs, if there is one. A URI is compared as text, in one spelling:
// the user who looks for the process may have no right to ask libvirt.
func FindHolder(uris ...string) (Holder, bool) {
	return defaultLockFolders().find(uris)
}

// spelling is a URI as the user uid may write it, in the one way that libvirts of this machine are compared by.
func spelling(uri string, uid int) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	u.Scheme = strings.TrimSuffix(u.Scheme, "+unix")
	query := u.Query()
	socket := query.Get("socket")
	if u.Host == "" && uid == 0 && u.Path == "/session" && socket == "" {
		u.Path = "/system"
	}
	if dir := strings.TrimPrefix(filepath.Dir(socket), "/var"); socket == "" || u.Path == "/system" && dir == "/run/libvirt" {
		query.Del("socket")
		query.Del("mode")
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// readHolder is who a file of a lock that is held says that it is.
func readHolder(f *os.File, uri string) Holder {
	unknown := Holder{URI: uri, Command: "another vmscaler"}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 16<<10))
	if err != nil {
		return unknown
	}
	said := Holder{}
	switch {
	case json.Unmarshal(data, &said) != nil,
		said.PID <= 0,
		!printable(append(said.Groups, said.Command, said.URI, said.BusURL, said.StateDir, said.Config)...),
		errors.Is(unix.Kill(said.PID, 0), unix.ESRCH): // what stands there is of one that has ended
		return unknown
	case said.URI == "":
		said.URI = uri
	}
	return said
}

// printable reports whether texts can go to a terminal as they are.
func printable(texts ...string) bool {
	for _, text := range texts {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return false
		}
	}
	return true
}
