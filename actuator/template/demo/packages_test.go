package demo

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

func TestKernelPackage(t *testing.T) {
	tests := []struct{ distro, kernel, want, err string }{
		{"debian", KernelCloud, "linux-image-cloud-amd64", ""},
		{"debian", KernelGeneric, "linux-image-amd64", ""},
		{"ubuntu", KernelCloud, "linux-image-virtual", ""},
		{"ubuntu", KernelGeneric, "linux-image-virtual", ""},
		{"debian", "linux-image-rt-amd64", "linux-image-rt-amd64", ""},
		{"debian", "cluod", "", `kernel "cluod"`},
		{"fedora", KernelCloud, "", `distribution "fedora"`},
	}
	for _, tt := range tests {
		got, err := kernelPackage(tt.distro, tt.kernel)
		if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("kernelPackage(%s, %s) = %q, %v", tt.distro, tt.kernel, got, err)
		}
	}
}

func TestDistribution(t *testing.T) {
	tests := []struct{ release, want string }{
		{"NAME=\"Debian GNU/Linux\"\nID=debian\n", "debian"},
		{"ID=ubuntu\nID_LIKE=debian\n", "ubuntu"},
		{"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "ubuntu"},
		{"ID=raspbian\nID_LIKE=debian\n", "debian"},
		{"ID=fedora\n", "fedora"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := distribution(tt.release); got != tt.want {
			t.Errorf("distribution(%q) = %q, want %q", tt.release, got, tt.want)
		}
	}
}

func TestSimulatedDeb(t *testing.T) {
	tests := []struct {
		line, want string
		ok         bool
	}{
		{
			"Inst busybox-static (1:1.35.0-4+deb12u1+b1 Debian-Security:12/oldstable-security [amd64])",
			"busybox-static_1%3a1.35.0-4+deb12u1+b1_amd64.deb",
			true,
		},
		{"Inst libx11-data (2:1.8.4-2+deb12u2 Debian:12.11/oldstable [all]) []", "libx11-data_2%3a1.8.4-2+deb12u2_all.deb", true},
		{
			"Inst udev (252.39-1~deb12u2 Debian:12.11/oldstable, Debian:12-updates [amd64]) [libc6:amd64 ]",
			"udev_252.39-1~deb12u2_amd64.deb",
			true,
		},
		{"Conf udev (252.39-1~deb12u2 Debian:12.11/oldstable [amd64])", "", false},
		{"Inst", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		got, ok := simulatedDeb(tt.line)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("simulatedDeb(%q) = %q, %v, want %q, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

func TestDownloadSize(t *testing.T) {
	var said []string
	w := &hosttool.LineWriter{Line: func(line string) {
		if size, ok := downloadSize(line); ok {
			said = append(said, size)
		}
	}}
	for _, part := range []string{
		"Reading\nNeed to g", "et 54.0 MB of archives.\nNeed to get 2,048 kB/54.0 MB of archives.\nNeed",
		" more",
	} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"54.0 MB", "2,048 kB"}; !slices.Equal(said, want) {
		t.Errorf("sizes %q, want %q", said, want)
	}
}
