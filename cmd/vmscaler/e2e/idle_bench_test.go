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

// BenchmarkIdle is what the program costs while nothing happens: five idle VMs and a tick of a second. An iteration is
// one tick. The CPU share is of one core.
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
	b.Run("one-process", func(b *testing.B) { one.idle(b, one.cmd, what, "vmscaler run", figures.Ours) })
	loop := w.startLoop(one.names())
	b.Run("loop", func(b *testing.B) { one.idle(b, loop.cmd, what, "shell loop", figures.Rival) })
	loop.stop()
	bare := exec.Command(os.Args[0])
	bare.Env = append(os.Environ(), bareNATS+"=1")
	if err := bare.Start(); err != nil {
		b.Fatal(err)
	}
	b.Run("nats", func(b *testing.B) { one.idle(b, bare, what, "a NATS server and nothing else", figures.Limit) })
	_ = bare.Process.Kill()
	_ = bare.Wait()
	one.stop()

	s := w.split(freeAddress(b), config)
	for _, stage := range []string{"bus", "collector", "decider", "actuator", "dashboard"} {
		s.start(stage)
	}
	watcher := w.watch(client.Remote{URL: s.url})
	watcher.untilReady(vms)
	for _, stage := range []string{"bus", "collector", "decider", "actuator", "dashboard"} {
		b.Run(stage, func(b *testing.B) { watcher.idle(b, s.stages[stage].cmd, what, "vmscaler "+stage, figures.Ours) })
	}
	s.stop()
}

func (w *watcher) idle(b *testing.B, cmd *exec.Cmd, what, way string, kind figures.Kind) {
	b.Helper()
	pid := cmd.Process.Pid
	tick := func() {
		last := w.sample.Time
		w.until("another sample comes", func() bool { return w.sample.Time.After(last) })
	}
	for range 2 { // its start is not what it costs
		tick()
	}
	start, before := time.Now(), cpuTime(b, pid)
	for b.Loop() {
		tick()
	}
	// Where it is less than a step of the kernel's the step is what is known.
	share := 100 * float64(max(cpuTime(b, pid)-before, 10*time.Millisecond)) / float64(time.Since(start))
	resident := residentMiB(b, pid)
	b.ReportMetric(share, "cpu-%")
	b.ReportMetric(resident, "rss-MiB")
	aim := 0.
	if kind == figures.Rival {
		aim = 10
	}
	figures.Add(b,
		figures.Way{Figure: what + ", CPU", Way: way, Kind: kind, Unit: "% of a core", Values: []float64{share}, Aim: aim},
		figures.Way{Figure: what + ", memory", Way: way, Kind: kind, Unit: "MiB resident", Values: []float64{resident}})
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
