package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// settle waits until all is well, and says how long that took.
func (c *chaos) settle(after string) time.Duration {
	c.t.Helper()
	since := time.Now()
	for _, check := range []struct {
		what string
		find func(since time.Time) error
	}{
		{"the bus says that the group has what is desired", c.saidWell},
		{"libvirt has what is desired", c.isWell},
		{"all stages are well", c.stagesWell},
		{"nothing of ours is left over", c.nothingLeft},
		{"the history is complete", c.historyComplete},
		{"nothing grows", c.nothingGrows},
	} {
		c.until(settleBound, check.what+" after "+after, func() error { return check.find(since) })
	}
	took := time.Since(since)
	c.foreign()
	for name, sum := range c.sums {
		if now := fileSum(c.t, c.disk(name)); now != sum {
			c.t.Errorf("the template %s was changed", name)
		}
	}
	if c.t.Failed() { // the lookout's as well
		c.t.FailNow()
	}
	return took
}

// saidWell: the newest sample has the desired number of VMs, all ready, and the decider wants just those.
func (c *chaos) saidWell(since time.Time) error {
	s, d := c.messages.newest()
	switch {
	case !s.Time.After(since):
		return fmt.Errorf("the last sample is of %s", s.Time)
	case !d.Time.After(since):
		return fmt.Errorf("the last decision is of %s", d.Time)
	case len(s.VMs) != c.want:
		return fmt.Errorf("the sample has %d VMs, want %d: %+v; decision: %s", len(s.VMs), c.want, s.VMs, d.Sentence)
	case d.Desired != c.want || !d.HasSample || d.Inputs.Owned != c.want:
		return fmt.Errorf("decision %+v, want %d desired and owned", d, c.want)
	}
	if r := d.Refresh; r.Active() {
		return fmt.Errorf("a refresh goes on: %+v", r)
	}
	for _, vm := range s.VMs {
		if vm.Phase != bus.PhaseReady || vm.State != bus.StateRunning || vm.Error != "" {
			return fmt.Errorf("the sample has %+v, want it running, ready and read", vm)
		}
	}
	return nil
}

// isWell is saidWell of libvirt itself.
func (c *chaos) isWell(since time.Time) error {
	vms, at := c.domains.newest()
	if !at.After(since) {
		return fmt.Errorf("the last look at libvirt was at %s", at)
	}
	if len(vms) != c.want {
		return fmt.Errorf("libvirt has %d VMs, want %d", len(vms), c.want)
	}
	for _, vm := range vms {
		if vm.Meta.Phase != bus.PhaseReady || vm.State != bus.StateRunning {
			return fmt.Errorf("libvirt has %s %s, want it running and ready", vm.Name, vm.State)
		}
	}
	return nil
}

// stagesWell: each stage of each process says so.
func (c *chaos) stagesWell(time.Time) error {
	for name, p := range c.procs {
		stages := []string{name}
		switch name {
		case "nats":
			continue
		case "run":
			stages = []string{"bus", "collector", "decider", "actuator"}
		case "decider2":
			stages = []string{"decider"}
		}
		for _, stage := range stages {
			if h := c.messages.healthOf(stage, p.cmd.Process.Pid); !h.OK || time.Since(h.Time) > 3*bus.HealthInterval {
				return fmt.Errorf("%s of process %d: %+v", stage, p.cmd.Process.Pid, h)
			}
		}
	}
	return nil
}

// nothingLeft: the pool's folder has what it had at first and each VM's volumes, and no VM's record is kept that
// does not exist any more.
func (c *chaos) nothingLeft(time.Time) error {
	want := slices.Clone(c.base)
	for _, vm := range c.vms() {
		want = append(want, vm.Meta.Volumes()...)
	}
	found := append(c.files(), template.VolumeName("demo"))
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		return fmt.Errorf("the pool has the files %v, want %v", found, want)
	}
	return c.recordsMatch()
}

// recordsMatch: the actuator keeps records of the volumes of VMs that exist, and of no others.
func (c *chaos) recordsMatch() error {
	known := map[string]bool{}
	for _, vm := range c.vms() {
		known[vm.UUID] = true
	}
	return filepath.WalkDir(filepath.Join(c.state, "volumes"), func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		if uuid := uuidIn.FindString(path); uuid != "" && !known[uuid] {
			return fmt.Errorf("a record is left: %s", path)
		}
		return nil
	})
}

// historyComplete: the history has the beginning of each VM that was seen, and the end of each that is gone.
func (c *chaos) historyComplete(time.Time) error {
	events, err := c.history()
	if err != nil {
		return err
	}
	return c.domains.explainedBy(events, c.epoch)
}

// history is what `vmscaler events` prints.
func (c *chaos) history() ([]bus.Event, error) {
	cmd := c.command(append([]string{"events", c.group, "-o", "json", "--nats-url", c.url}, c.login...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("vmscaler events: %w", err)
	}
	var events []bus.Event
	for line := range strings.Lines(string(out)) {
		var r client.HistoryEntry
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("vmscaler events: %w in %q", err, line)
		}
		if r.Event != nil {
			events = append(events, *r.Event)
		}
	}
	return events, nil
}

// forgetHistory begins the bookkeeping again: the fault has destroyed the history.
func (c *chaos) forgetHistory() { c.epoch = time.Now() }

// usage is what a process takes.
type usage struct{ goroutines, files, memoryMiB int }

// life is the longest life of a process in a world.
type life struct {
	name        string
	age         time.Duration
	early, late usage
}

// nothingGrows compares what each process takes with what it took when all was well for the first time.
func (c *chaos) nothingGrows(time.Time) error {
	for name, p := range c.procs {
		if name == "nats" {
			continue
		}
		now, err := p.usage()
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		early, known := c.early[p]
		if !known {
			c.early[p] = now
			continue
		}
		if now.goroutines > early.goroutines+15 || now.files > early.files+12 || now.memoryMiB > 2*early.memoryMiB+64 {
			return fmt.Errorf("%s had %+v when all was well for the first time, and has %+v", p.name, early, now)
		}
		if age := time.Since(p.begun()); age > c.oldest.age {
			c.oldest = life{p.name, age, early, now}
		}
	}
	return nil
}

// begun is when a process was started, as far as its folder in /proc tells.
func (p *process) begun() time.Time {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", p.cmd.Process.Pid))
	if err != nil {
		return time.Now()
	}
	return info.ModTime()
}

// usage measures a process that was built with the tag faults.
func (p *process) usage() (usage, error) {
	pid := p.cmd.Process.Pid
	before := len(p.lines("goroutines: "))
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return usage{}, err
	}
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for len(p.lines("goroutines: ")) == before {
		select {
		case <-p.touched:
		case <-deadline.C:
			return usage{}, errors.New("does not say how many goroutines it has")
		}
	}
	said := p.lines("goroutines: ")
	_, number, _ := strings.Cut(said[len(said)-1], "goroutines: ")
	goroutines, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		return usage{}, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return usage{}, err
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return usage{}, err
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return usage{}, err
	}
	return usage{goroutines, len(files), resident * os.Getpagesize() >> 20}, nil
}
