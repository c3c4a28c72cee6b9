package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus/client"
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
	b.Run("one-process", func(b *testing.B) { one.idle(b, one.process) })
	one.stop()

	s := w.split(freeAddress(b), config)
	for _, stage := range []string{"bus", "collector", "decider", "actuator", "dashboard"} {
		s.start(stage)
	}
	watcher := w.watch(client.Remote{URL: s.url})
	watcher.untilReady(vms)
	for _, stage := range []string{"bus", "collector", "decider", "actuator", "dashboard"} {
		b.Run(stage, func(b *testing.B) { watcher.idle(b, s.stages[stage]) })
	}
	s.stop()
}

func (w *watcher) idle(b *testing.B, p *process) {
	b.Helper()
	pid := p.cmd.Process.Pid
	start, before := time.Now(), cpuTime(b, pid)
	for b.Loop() {
		last := w.sample.Time
		w.until("another sample comes", func() bool { return w.sample.Time.After(last) })
	}
	b.ReportMetric(100*float64(cpuTime(b, pid)-before)/float64(time.Since(start)), "cpu-%")
	b.ReportMetric(residentMiB(b, pid), "rss-MiB")
	b.ReportMetric(0, "ns/op") // it is the tick's
}

// cpuTime is what a process has used, in user and system mode.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:]) // from the third on: a name can have blanks
	var ticks int
	for _, f := range fields[11:13] {
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
