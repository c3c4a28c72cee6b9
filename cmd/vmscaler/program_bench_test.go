package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/internal/figures"
)

// BenchmarkProgram is how large the program is, and how long it takes until it can say anything: what each command costs before
// it does something.
func BenchmarkProgram(b *testing.B) {
	dir := b.TempDir()
	common := []string{"build", "-trimpath", "-buildvcs=false"} // as in the Makefile
	if testing.Short() {
		common = []string{"build"} // what it needs is there from the tests, and not all compiled once more
	}
	build := func(name string, flags ...string) string {
		name = filepath.Join(dir, name)
		args := slices.Concat(common, flags, []string{"-o", name, "."})
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			b.Fatalf("go build: %s\n%s", err, out)
		}
		return name
	}
	built := build("built")
	packed := build("packed", "-ldflags", "-s -w")
	size := func(name string) []float64 {
		info, err := os.Stat(name)
		if err != nil {
			b.Fatal(err)
		}
		return []float64{float64(info.Size()) / (1 << 20)}
	}
	took := func(command ...string) float64 {
		start := time.Now()
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			b.Fatalf("%s: %s\n%s", command, err, out)
		}
		return float64(time.Since(start).Microseconds()) / 1000
	}
	var ours, virsh, nothing []float64
	for b.Loop() {
		ours = append(ours, took(packed, "--version"))
		virsh = append(virsh, took("virsh", "--version"))
		nothing = append(nothing, took("true"))
	}
	b.ReportMetric(0, "ns/op") // of all three
	figures.Add(b,
		figures.Way{Figure: "the program", Way: "as built", Kind: figures.Ours, Unit: "MiB", Values: size(built)},
		figures.Way{Figure: "the program", Way: "as packed", Kind: figures.Ours, Unit: "MiB", Values: size(packed)},
		figures.Way{Figure: "start of a command", Way: "vmscaler --version", Kind: figures.Ours, Unit: "ms", Values: ours},
		figures.Way{Figure: "start of a command", Way: "virsh --version", Kind: figures.Rival, Unit: "ms", Values: virsh},
		figures.Way{Figure: "start of a command", Way: "true", Kind: figures.Limit, Unit: "ms", Values: nothing})
}
