package vm

import (
	"errors"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/internal/libvirttest"
)

func TestSaver(t *testing.T) {
	for _, tt := range []struct {
		qemu, lib uint32
		cpu, want string
	}{
		{7002022, 9000000, "0c5d1f2e", "qemu 7.2.22 libvirt 9.0.0 cpu 0c5d1f2e"},
		{10000002, 11003000, "", "qemu 10.0.2 libvirt 11.3.0"},
	} {
		if got := saver(tt.qemu, tt.lib, tt.cpu); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// The fingerprint of a CPU is of what a guest can see of it, in whatever order libvirt says that.
func TestFingerprint(t *testing.T) {
	flags := func(names ...string) (all []libvirtxml.CapsHostCPUFeatureFlag) {
		for _, name := range names {
			all = append(all, libvirtxml.CapsHostCPUFeatureFlag{Name: name})
		}
		return all
	}
	cpu := libvirtxml.CapsHostCPU{Arch: "x86_64", Vendor: "AMD", Model: "EPYC", FeatureFlags: flags("avx", "aes")}
	same, slower, older, plain := cpu, cpu, cpu, cpu
	same.FeatureFlags = flags("aes", "avx")
	slower.Counter = &libvirtxml.CapsHostCPUCounter{Name: "tsc"} // its frequency is measured at each boot
	older.Microcode = &libvirtxml.CapsHostCPUMicrocode{Version: 7}
	plain.FeatureFlags = flags("aes")
	for _, tt := range []struct {
		name  string
		other libvirtxml.CapsHostCPU
		same  bool
	}{
		{"another order", same, true},
		{"another frequency", slower, true},
		{"another microcode", older, false},
		{"a feature less", plain, false},
		{"none of it", libvirtxml.CapsHostCPU{}, false},
	} {
		if got := fingerprint(tt.other) == fingerprint(cpu); got != tt.same {
			t.Errorf("%s: the same: %t", tt.name, got)
		}
	}
}

func TestSavedElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name        string
		state       bus.State
		saver, here string
		want        bool
	}{
		{"by the same", bus.StateSaved, "qemu 7.2.22", "qemu 7.2.22", false},
		{"by another", bus.StateSaved, "qemu 7.2.22", "qemu 10.0.0", true},
		{"by a person", bus.StateSaved, "", "qemu 10.0.0", false},
		{"here it is not known", bus.StateSaved, "qemu 7.2.22", "", false},
		{"it runs", bus.StateRunning, "qemu 7.2.22", "qemu 10.0.0", false},
	} {
		v := VM{State: tt.state, Meta: bus.Metadata{Saver: tt.saver}}
		if why := v.SavedElsewhere(tt.here); (why != "") != tt.want {
			t.Errorf("%s: %q", tt.name, why)
		}
	}
}

// Without a connection it is not known whether a VM can wait, or what could restore it.
func TestNotKnownWithoutConnection(t *testing.T) {
	spec := bus.Group{WarmPool: bus.WarmPool{State: "later"}} // in which none can wait
	saved := VM{State: bus.StateSaved, Meta: bus.Metadata{Saver: "qemu 1.2.3"}}
	h := Manager{Conn: libvirttest.NewHost(t)}
	if err := h.rest(t.Context(), nil, spec, bus.Metadata{}); !errors.Is(err, ErrCannotWait) {
		t.Errorf("connected: %v", err)
	}
	if why, err := h.unfit(saved); why == "" || err != nil {
		t.Errorf("connected: %q, %v", why, err)
	}
	if _, err := h.Conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.rest(t.Context(), nil, spec, bus.Metadata{}); err == nil || errors.Is(err, ErrCannotWait) {
		t.Errorf("without a connection: %v", err)
	}
	if why, err := h.unfit(saved); why != "" || err == nil {
		t.Errorf("without a connection: %q, %v", why, err)
	}
}
