package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/internal/figures"
)

// BenchmarkIdle is what the program costs while nothing happens: five idle VMs and a tick of a second. The CPU share is of one
// core.
func BenchmarkIdle(b *testing.B) {
	w := newWorld(b)
	vms := 5
	if testing.Short() {
		vms = 1
	}
	config := w.config(fmt.Sprintf("min: %d\nmax: %d", vms, vms))
	one := w.start(config)
	one.untilReady(vms)
	what := fmt.Sprintf("%d idle VMs", vms)
	alone := func(name, way string, kind figures.Kind, cmd *exec.Cmd) {
		b.Run(name, func(b *testing.B) { one.idle(b, what, idler{name, way, kind, cmd}) })
	}
	alone("one-process", "vmscaler run", figures.Ours, one.cmd)
	loop := w.startLoop(one.names())
	alone("loop", "shell loop", figures.Rival, loop.cmd)
	loop.stop()
	bare := exec.Command(os.Args[0])
	bare.Env = append(os.Environ(), bareNATS+"=1")
	if err := bare.Start(); err != nil {
		b.Fatal(err)
	}
	alone("nats", "a NATS server and nothing else", figures.Limit, bare)
	_ = bare.Process.Kill()
	_ = bare.Wait()
	one.stop()

	s := w.split(freeAddress(b), config)
	stages := []string{"bus", "collector", "decider", "actuator", "dashboard"}
	for _, stage := range stages {
		s.start(stage)
	}
	watcher := w.watch(client.Remote{URL: s.url})
	watcher.untilReady(vms)
	var all []idler
	for _, stage := range stages {
		all = append(all, idler{stage, "vmscaler " + stage, figures.Ours, s.stages[stage].cmd})
	}
	b.Run("stages", func(b *testing.B) { watcher.idle(b, what, all...) })
	s.stop()
}

// idler is a process that costs something while nothing happens.
type idler struct {
	name, way string
	kind      figures.Kind
	cmd       *exec.Cmd
}

// idleTicks are the ticks of one round: fewer tell too little, as the kernel counts CPU time in steps of 10 ms.
const idleTicks = 10

// idle measures processes over the same ticks.
func (w *watcher) idle(b *testing.B, what string, all ...idler) {
	b.Helper()
	ticks := idleTicks
	if testing.Short() {
		ticks = 1
	}
	tick := func() {
		last := w.sample.Time
		w.until("another sample comes", func() bool { return w.sample.Time.After(last) })
	}
	for range 2 { // its start is not what it costs
		tick()
	}
	shares, resident := make([][]float64, len(all)), make([][]float64, len(all))
	for b.Loop() {
		var before []time.Duration
		for _, p := range all {
			before = append(before, cpuTime(b, p.cmd.Process.Pid))
		}
		start := time.Now()
		for range ticks {
			tick()
		}
		took := time.Since(start)
		for i, p := range all {
			// Where it is less than a step of the kernel's the step is what is known.
			used := max(cpuTime(b, p.cmd.Process.Pid)-before[i], 10*time.Millisecond)
			shares[i] = append(shares[i], 100*float64(used)/float64(took))
			resident[i] = append(resident[i], residentMiB(b, p.cmd.Process.Pid))
		}
	}
	for i, p := range all {
		prefix, aim := "", 0.
		if len(all) > 1 {
			prefix = p.name + "-"
		}
		if p.kind == figures.Rival {
			aim = 10
		}
		share, _, _ := figures.Spread(shares[i])
		b.ReportMetric(share, prefix+"cpu-%")
		figures.Add(b,
			figures.Way{Figure: what + ", CPU", Way: p.way, Kind: p.kind, Unit: "% of a core", Values: shares[i], Aim: aim},
			figures.Way{Figure: what + ", memory", Way: p.way, Kind: p.kind, Unit: "MiB resident", Values: resident[i]})
	}
	b.ReportMetric(0, "ns/op") // it is the tick's
}

// cpuTime is what a process has used, in user and system mode, with those that it has started and waited for.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:]) // from the third on: a name can have blanks
	var ticks int
	for _, f := range fields[11:15] {
		n, err := strconv.Atoi(string(f))
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}
