package app

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/service"
)

// manager is a service manager's end of the socket.
type manager struct{ *net.UnixConn }

// newManager is one that is told by processes of this environment.
func newManager(t *testing.T, watchdogUsec string) manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", watchdogUsec)
	return manager{conn}
}

// until reads until a datagram begins with a line, and returns all that were read.
func (m manager) until(t *testing.T, line string) (all []string) {
	t.Helper()
	buf := make([]byte, 4096)
	for {
		if err := m.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := m.Read(buf)
		if err != nil {
			t.Fatalf("waiting for %s after %q: %v", line, all, err)
		}
		all = append(all, string(buf[:n]))
		if strings.HasPrefix(all[len(all)-1], line) {
			return all
		}
	}
}

// The collector has no other way to libvirt than the one that changes nothing.
func TestCollectorOnlyReads(t *testing.T) {
	m := newManager(t, "")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cfg := config.Default()
	cfg.BusListen = "127.0.0.1:0"
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			Config: cfg, Stages: []string{StageBus, StageCollector}, Log: zerolog.Nop(), Service: service.New(zerolog.Nop()),
			Libvirt: Libvirt{
				DialReadOnly: func(context.Context) (*libvirt.Connect, error) {
					return libvirt.NewConnectReadOnly("test:///default")
				},
				Identify: func(*libvirt.Connect) (bus.HostID, string, error) { return "test-driver", "test", nil },
			},
		})
	}()
	m.until(t, "READY=1")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// All stages that a process can have keep the watchdog quiet, and the process is ready with its first sample, no sooner.
func TestTellsTheServiceManager(t *testing.T) {
	m := newManager(t, "4000000")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cfg := config.Default()
	cfg.BusListen = "127.0.0.1:0"
	mayAnswer := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			Config: cfg, Stages: []string{StageBus, StageCollector, StageDecider, StageActuator}, StateDir: t.TempDir(),
			Log: zerolog.Nop(), Service: service.New(zerolog.Nop()), Ready: func(string) { close(mayAnswer) },
			Libvirt: Libvirt{
				Dial: func(context.Context) (*libvirt.Connect, error) { return libvirt.NewConnect("test:///default") },
				DialReadOnly: func(context.Context) (*libvirt.Connect, error) {
					<-mayAnswer // so that no sample precedes it
					return libvirt.NewConnectReadOnly("test:///default")
				},
				Identify: func(*libvirt.Connect) (bus.HostID, string, error) { return "test-driver", "test", nil },
			},
		})
	}()
	if first := m.until(t, "READY=1"); len(first) != 1 {
		t.Errorf("before it is ready it says %q", first)
	}
	m.until(t, "WATCHDOG=1")
	m.until(t, "WATCHDOG=1")
	m.until(t, "WATCHDOG=1") // by now each loop has had to live
	stop()
	m.until(t, "STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
