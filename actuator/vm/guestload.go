package vm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
)

// Loads are what guests have to do, as their agents say.
type Loads struct {
	At      time.Time
	Percent map[string]float64 // the load average of a minute for each vCPU, by UUID
	Unknown map[string]string  // why it is not known, by UUID
	Silent  map[string]bool    // of those, the VMs whose agents did not answer
}

// AskLoads asks the agents of some VMs for their guests' load average. It closes its reference to the connection, as it may take
// longer than the stage. One that does not answer holds no other one up for longer than its own time.
func AskLoads(ctx context.Context, conn *libvirt.Connect, calls *Calls, vms []VM) Loads {
	defer func() { _, _ = conn.Close() }()
	got := Loads{At: time.Now(), Percent: map[string]float64{}, Unknown: map[string]string{}, Silent: map[string]bool{}}
	askEach(ctx, conn, calls, vms, guestLoad, func(uuid string, percent float64, err error) {
		if err == nil {
			got.Percent[uuid] = percent
			return
		}
		got.Unknown[uuid], got.Silent[uuid] = ErrorText(err), agentIsAway(err)
	})
	return got
}

// guestLoad is a guest's load average of a minute in percent of its vCPUs. The agent has a command for it since QEMU 10.0; of an
// older one in a Linux guest the file is read in which the kernel says it.
func guestLoad(dom *libvirt.Domain) (percent float64, err error) {
	info, err := dom.GetInfo()
	if err != nil {
		return 0, fmt.Errorf("read its vCPUs: %w", err)
	}
	var load struct {
		OneMinute *float64 `json:"load1m"`
	}
	err = agentCommand(dom, agentTimeout, "guest-get-load", nil, &load)
	switch {
	case err != nil && agentIsAway(err):
		return 0, err
	case err != nil:
		text, err := readGuestFile(dom, "/proc/loadavg")
		if err != nil {
			return 0, err
		}
		return loadPercent(text, int(info.NrVirtCpu))
	case load.OneMinute == nil:
		return 0, errors.New("its guest agent says no load average")
	}
	return loadPercent(strconv.FormatFloat(*load.OneMinute, 'f', -1, 64), int(info.NrVirtCpu))
}

// loadPercent reads the first of the numbers that Linux says, in percent of so many vCPUs.
func loadPercent(text string, vcpus int) (float64, error) {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	load, err := strconv.ParseFloat(word, 64)
	switch {
	case err != nil || !(load >= 0 && load < 1e4): // not NaN either
		return 0, fmt.Errorf("its load average: found %.40q, want a number from 0", word)
	case vcpus < 1:
		return 0, fmt.Errorf("its vCPUs: found %d, want 1 or more", vcpus)
	}
	return 100 * load / float64(vcpus), nil
}

// guestFileBytes is how much of a guest's file is read.
const guestFileBytes = 128

// readGuestFile reads the beginning of a guest's file.
func readGuestFile(dom *libvirt.Domain, path string) (string, error) {
	var handle int
	if err := agentCommand(dom, agentTimeout, "guest-file-open", map[string]any{"path": path, "mode": "r"}, &handle); err != nil {
		return "", err
	}
	var read struct {
		Text string `json:"buf-b64"`
	}
	err := agentCommand(dom, agentTimeout, "guest-file-read", map[string]any{"handle": handle, "count": guestFileBytes}, &read)
	closed := agentCommand(dom, agentTimeout, "guest-file-close", map[string]any{"handle": handle}, nil)
	if err := errors.Join(err, closed); err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(read.Text)
	if err != nil {
		return "", fmt.Errorf("guest agent: guest-file-read: %w", err)
	}
	return string(text), nil
}
