package trial

import (
	"strings"
	"time"
)

// Facts are what was seen of one clone. What could not be asked is unknown: "", nil, or false in Asked.
type Facts struct {
	Name      string
	Ready     string        // what showed that it has booted; "": it was not ready
	NotReady  string        // why it was not
	BootTime  time.Duration // until it was ready
	Agent     bool          // its agent has answered
	Console   int           // bytes that it wrote on its serial console
	LastLines string        // the end of these
	Address   string
	Idle      *float64       // CPU in percent of its vCPUs, at rest
	Off       *time.Duration // until it was off after the power button was pressed; nil: it was not in time
	Pressed   bool           // the button was pressed
	Guest     Guest
}

// Guest is what a guest says of itself.
type Guest struct {
	Asked     bool   // it could be asked
	Unasked   string // why it could not be, where its agent has answered
	Host      string
	MachineID string
	Keys      []string // public SSH host keys
	Logins    []Login  // keys that users may log in with
	Cloud     string   // "none", or cloud-init's status
	Firmware  string   // bios or uefi
}

// Login is a key of an authorized_keys file.
type Login struct{ File, Key string }

// guestScript prints what parseGuest reads, a word and a value a line. It needs no program but a shell, for most of it.
const guestScript = "root=\n" + loginScript + `
echo "host $(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
read -r id 2>/dev/null < /etc/machine-id && echo "machine $id"
for f in /etc/ssh/ssh_host_*_key.pub; do
	[ -r "$f" ] && read -r kind key rest < "$f" && echo "key $kind $key"
done
if command -v cloud-init >/dev/null 2>&1; then
	echo "cloud $(cloud-init status 2>/dev/null | sed -n 's/^status: *//p')"
else
	echo "cloud none"
fi
if [ -d /sys/firmware/efi ]; then echo "firmware uefi"; else echo "firmware bios"; fi
`

// loginScript prints each line of an authorized_keys file that is neither empty nor a comment, below the folder $root.
const loginScript = usersKeys + ` 2>/dev/null | while read -r f; do
	grep -v '^[[:space:]]*\(#\|$\)' "$f" | head -n 32 | while read -r line; do echo "login $f $line"; done
done`

// mostKeys is how many keys of a guest are looked at.
const mostKeys = 32

func parseGuest(output string) Guest {
	g := Guest{Asked: true}
	for line := range strings.Lines(output) {
		word, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "host":
			g.Host = value
		case "machine":
			g.MachineID = value
		case "key":
			if len(g.Keys) < mostKeys {
				g.Keys = append(g.Keys, value)
			}
		case "login":
			if file, key, ok := strings.Cut(value, " "); ok && len(g.Logins) < mostKeys {
				g.Logins = append(g.Logins, Login{file, key})
			}
		case "cloud":
			g.Cloud = value
		case "firmware":
			g.Firmware = value
		}
	}
	return g
}
